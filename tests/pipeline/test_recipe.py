from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core import Spec, Train
from pipeline.errors import UserError
from pipeline.recipe import RECIPES, Recipe, read

Refused = Callable[..., str]

GOOD = """
data = "digits"
preset = "quick"
formats = ["onnx", "tflite"]
models = [{ model = "mlp", hidden = [16], train = { epochs = 2 } }]

[[variants]]
name = "small"
steps = [
    { technique = "distill", student = { width = 0.5 }, temperature = 3 },
    { technique = "quantize_static", per_channel = true },
]
"""

OWN_MODEL = """
from dataclasses import dataclass
from typing import final
from models._classifier import Classifier
from pipeline.core import Train

@final
@dataclass(frozen=True)
class Own(Classifier):
    units: int = 3
    presets = {"quick": Train()}

    def build(self, domain):
        raise RuntimeError('not for this test')
"""

# what is wrong: the change to the good recipe, and what the line must say
MISTAKES = {
    "top-level key": ("preset =", "prset =", ["unknown option 'prset'", "did you mean 'preset'?", "recipe.toml"]),
    "variant key": ("name =", "nmae =", ["variants[0]", "unknown option 'nmae'", "did you mean 'name'?"]),
    "technique option": ("temperature", "temprature", ["variants[0].steps[0]", "'temprature'", "'temperature'?"]),
    "train option": ("epochs", "epoch", ["models[0].train", "'epoch'", "did you mean 'epochs'?"]),
    "student option": ("width", "widht", ["variants[0].steps[0]", "'widht'", "did you mean 'width'?"]),
    "model option": ("hidden", "hiden", ["models[0]", "'hiden'", "did you mean 'hidden'?"]),
    "technique": ('"distill"', '"distil"', ["variants[0].steps[0]", "unknown technique 'distil'", "mean 'distill'?"]),
    "model": ('"mlp"', '"mpl"', ["models[0]", "unknown model 'mpl'", "did you mean 'mlp'?"]),
    "data": ('"digits"', '"digit"', ["data", "unknown data 'digit'", "did you mean 'digits'?"]),
    "format": ('"tflite"', '"tflit"', ["formats[1]", "unknown format 'tflit'", "did you mean 'tflite'?"]),
    "preset": ('"quick"', '"quik"', ["unknown preset 'quik'", "did you mean 'quick'?", "full"]),
    "optimizer": ("epochs = 2", 'optimizer = "adam"', ["models[0].train", "optimizer", "'adamw'", "'sgd'", "found 'adam'"]),
    "model in a variant": ('name = "small"', 'name = "small"\nmodels = ["mpl"]', ["unknown model 'mpl'", "'mlp'?"]),
    "key of a step": ("technique =", "techniqe =", ["steps[0]", "'technique'", "found ['student', 'techniqe', 'temperature']"]),
    "type of a number": ("temperature = 3", 'temperature = "3"', ["steps[0]", "temperature", "found '3'"]),
    "type of a list": ('["onnx", "tflite"]', '"onnx"', ["formats", "found 'onnx'"]),
    "type of a flag": ("per_channel = true", "per_channel = 1", ["steps[1]", "per_channel", "found 1"]),
    "type of data": ('data = "digits"', "data = 3", ["data", "found 3"]),
    "type of variants": ('[[variants]]\nname = "small"\nsteps', "[variants]\nsteps", ["variants"]),
    "value": ("temperature = 3", "temperature = 0", ["steps[0]", "temperature", "greater than 0", "found 0"]),
    "seed": ("data =", "seed = -1\ndata =", ["seed", "found -1"]),
    "seed beyond 32 bits": ("data =", "seed = 4294967296\ndata =", ["seed", "4294967295"]),
    "threads": ("data =", "threads = 0\ndata =", ["threads", "found 0"]),
    "no data": ('data = "digits"', "", ["data", "required"]),
    "model and models": ("data =", 'model = "mlp"\ndata =', ["`model`", "`models`", "not both"]),
    "no model": ('[{ model = "mlp", hidden = [16], train = { epochs = 2 } }]', "[]", ["`model`", "`models`"]),
    "train is no table": ("{ epochs = 2 }", "2", ["models[0]", "train must be a table", "found 2"]),
    "same model twice": ("models = [", 'models = [{ model = "mlp" }, ', ["models[1]", "'mlp'", "twice"]),
    "same variant twice": (
        "[[variants]]",
        '[[variants]]\nname = "small"\nsteps = [{ technique = "distill" }]\n[[variants]]',
        ["twice"],
    ),
    "variant named reference": ('"small"', '"reference"', ["variants[0]", "'reference'", "uncompressed"]),
    "no steps": (re.compile(r"steps = \[.*\]", re.DOTALL), "steps = []", ["variants[0]", "steps", "at least 1"]),
    "no formats": ('["onnx", "tflite"]', "[]", ["formats", "at least 1"]),
    "format twice": ('["onnx", "tflite"]', '["onnx", "onnx"]', ["formats[1]", "'onnx'", "twice"]),
    "work after the precision is fixed": (
        re.compile(r"steps = \[.*\]", re.DOTALL),
        'steps = [{ technique = "quantize_static" }, { technique = "prune_structured" }]',
        ["variants[0].steps[1]", "prune_structured cannot follow quantize_static", "last"],
    ),
    "quantized twice": (
        re.compile(r"steps = \[.*\]", re.DOTALL),
        'steps = [{ technique = "quantize_static" }, { technique = "quantize_static" }]',
        ["variants[0].steps[1]", "cannot follow"],
    ),
    "an adaptation that would change fixed weights": (
        re.compile(r"steps = \[.*\]", re.DOTALL),
        'steps = [{ technique = "quantize_static" }, { technique = "lora" }]',
        ["variants[0].steps[1]", "lora cannot follow quantize_static", "last"],
    ),
    "work behind an adapter": (
        re.compile(r"steps = \[.*\]", re.DOTALL),
        'steps = [{ technique = "lora", merged = false }, { technique = "finetune" }]',
        ["variants[0].steps[1]", "finetune cannot follow lora, whose adapter belongs to these weights; put lora last"],
    ),
    "pretrained on what is no data": ('model = "mlp",', 'model = "mlp", pretrained = 3,', ["models[0].pretrained", "found 3"]),
    "pretrained on unknown data": ('model = "mlp",', 'model = "mlp", pretrained = "mnits",', ["models[0].pretrained", "'mnist'"]),
    "fraction": (
        re.compile(r"steps = \[.*\]", re.DOTALL),
        'steps = [{ technique = "prune_structured", macs = 1.5 }]',
        ["variants[0].steps[0]", "macs", "less than 1", "found 1.5"],
    ),
    "export as a technique": ('"distill"', '"export"', ["variants[0].steps[0]", "export is no technique"]),
    "a format as a technique": ('"distill"', '"onnx"', ["variants[0].steps[0]", "export is no technique"]),
    "an export step": ('technique = "distill"', 'export = "onnx"', ["variants[0].steps[0]", "export is no technique"]),
    "a name that leaves its folder": ('"small"', '"../small"', ["variants[0]", "'../small'", "letter or digit"]),
    "a name that is markup": ('"small"', '"[/red]"', ["variants[0]", "letter or digit"]),
    "a recipe's name with a folder": ("data =", 'name = "a/b"\ndata =', ["'a/b'", "letter or digit"]),
    "a model's name with a folder": ('model = "mlp"', 'name = "a/b", model = "mlp"', ["models[0]", "'a/b'"]),
    "a model file that is not there": ('"mlp"', '"nets/own.py"', ["models[0]", "nets/own.py", "does not exist"]),
    "no TOML": ("data =", "data", ["is not a TOML file", "line 2"]),
    "a key twice": ("data =", 'data = "digits"\ndata =', ["is not a TOML file"]),
}


def change(old: str | re.Pattern[str], new: str) -> str:
    assert re.search(old if isinstance(old, re.Pattern) else re.escape(old), GOOD), "the change changes nothing"
    return re.sub(old if isinstance(old, re.Pattern) else re.escape(old), lambda _: new, GOOD, count=1)


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_in_one_line_that_says_where_what_and_what_is_allowed(
    mistake: str, recipe: Callable[[str], Path], refused: Refused
) -> None:
    old, new, words = MISTAKES[mistake]
    line = refused("run", recipe(change(old, new)))
    assert [word for word in words if word not in line] == [], line


def test_a_recipe_that_is_not_utf8(recipe: Callable[[bytes], Path], refused: Refused) -> None:
    assert "is not a TOML file" in refused("run", recipe(b'data = "\xff"'))


def test_a_recipe_that_does_not_exist_lists_the_ready_ones(refused: Refused) -> None:
    line = refused("run", "no_such.toml")
    assert "no_such.toml does not exist" in line and "pipeline/recipes/digits.toml" in line


def test_a_folder_is_no_recipe(tmp_path: Path, refused: Refused) -> None:
    assert "is not a TOML file" in refused("run", tmp_path)


def test_an_unknown_target_offers_the_nearest(recipe: Callable[[str], Path], refused: Refused) -> None:
    line = refused("run", recipe(GOOD), "--target", "cpuu")
    assert "unknown target 'cpuu'; did you mean 'cpu'?" in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def (:", "cannot be imported: SyntaxError"),
        ("import no_such_package", "cannot be imported: ModuleNotFoundError"),
        ("raise KeyError('x')", "cannot be imported: KeyError"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit"),
        ("x = 1", "exactly one class marked @final, found 0"),
        (OWN_MODEL + OWN_MODEL.replace("class Own", "class Other"), "exactly one class marked @final, found 2"),
        (OWN_MODEL.replace("presets = ", "other = "), "unknown preset 'quick'; (allowed: none)"),
        (OWN_MODEL.replace('"quick": Train()', '"quikc": Train()'), "unknown preset 'quick'; did you mean 'quikc'?"),
        (OWN_MODEL.replace("(Classifier)", ""), "its class Own must inherit pipeline.core.Family"),
        (OWN_MODEL.replace("def build", "def biuld"), "its class Own lacks build"),
    ],
    ids=[
        "syntax",
        "import",
        "key error",
        "exit",
        "no class",
        "two classes",
        "no presets",
        "another preset",
        "no base",
        "abstract",
    ],
)
def test_a_users_model_file_that_cannot_be_one(
    text: str, words: str, tmp_path: Path, recipe: Callable[[str], Path], refused: Refused
) -> None:
    (tmp_path / "own.py").write_text(text)
    line = refused("run", recipe('data = "digits"\npreset = "quick"\nmodel = "own.py"'))
    assert "models[0]" in line and words in line


def test_a_model_file_is_no_technique_and_no_data(tmp_path: Path, recipe: Callable[[str], Path], refused: Refused) -> None:
    (tmp_path / "own.py").write_text(OWN_MODEL)
    line = refused(
        "run", recipe(change('{ technique = "distill", student = { width = 0.5 }, temperature = 3 }', '{ technique = "own.py" }'))
    )
    assert "variants[0].steps[0]" in line and "its class Own must inherit pipeline.core.Technique" in line
    assert "its class Own lacks files, load" in refused("run", recipe(change('"digits"', '"own.py"')))


def test_training_on_cuda_without_cuda_is_refused(recipe: Callable[[str], Path], refused: Refused) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    line = refused("run", recipe(GOOD), "--train-device", "cuda")
    assert "torch sees no CUDA device" in line and "leave --train-device out" in line


def test_a_good_recipe_is_read_with_every_default_filled_in(recipe: Callable[[str], Path]) -> None:
    found = read(recipe(GOOD))
    assert (found.name, found.preset, found.seed, found.threads, found.formats) == ("recipe", "quick", 0, 1, ("onnx", "tflite"))
    (model,), (variant,) = found.models, found.variants
    assert model.label == "mlp" and model.family.options == {"hidden": [16], "width": 1.0}
    assert model.train.epochs == 2 and model.train.samples == 2048, "the preset, and the recipe's word over it"
    assert [(step.name, step.options["temperature"]) for step in variant.steps[:1]] == [("distill", 3.0)]
    assert variant.steps[1].options == {"calibration": "minmax", "calibration_samples": 256, "per_channel": True}


def test_an_adapter_can_be_put_beside_fixed_weights(recipe: Callable[[str], Path]) -> None:
    steps = 'steps = [{ technique = "quantize_static" }, { technique = "lora", merged = false }]'
    (variant,) = read(recipe(change(re.compile(r"steps = \[.*\]", re.DOTALL), steps))).variants
    assert [spec.name for spec in variant.steps] == ["quantize_static", "lora"]


def test_what_a_model_is_pretrained_on_has_its_defaults_filled_in(recipe: Callable[[str], Path]) -> None:
    for given in ('"mnist"', '{ data = "mnist", validation = 5000 }'):
        (entry,) = read(recipe(change('model = "mlp",', f'model = "mlp", pretrained = {given},'))).models
        assert entry.pretrained == Spec("data", "mnist", {"validation": 5000})
    assert read(recipe(GOOD)).models[0].pretrained is None


def test_training_options_come_from_the_preset_the_recipe_and_the_model_in_this_order(recipe: Callable[[str], Path]) -> None:
    text = GOOD.replace("models =", "train = { epochs = 7, batch = 8 }\nmodels =")
    (model,) = read(recipe(text)).models
    assert (model.train.epochs, model.train.batch) == (2, 8)
    (full,) = read(recipe(text), preset="full").models
    assert full.train.samples is None, "the command line's preset is taken instead of the recipe's"
    assert isinstance(full.train, Train)


def test_a_users_file_is_found_beside_the_recipe_from_any_folder(
    tmp_path: Path, recipe: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(OWN_MODEL)
    monkeypatch.chdir("/")
    found = read(recipe('data = "digits"\npreset = "quick"\nmodels = [{ model = "own.py", units = 5 }]'))
    assert found.models[0].family.name == str(tmp_path / "own.py")
    assert found.models[0].family.options == {"units": 5}
    with pytest.raises(UserError, match="unknown option 'unit'; did you mean 'units'"):
        read(recipe('data = "digits"\npreset = "quick"\nmodels = [{ model = "own.py", unit = 5 }]'))


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("preset", ["quick", "full"])
def test_every_ready_recipe_can_be_read(path: Path, preset: str) -> None:
    found: Recipe = read(path, preset)
    assert found.models and found.variants and path.read_text().startswith("#"), "it says what it is for"
