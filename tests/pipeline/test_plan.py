"""What makes a step another step, and what does not: the keys by which work is reused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import plan as planning
from pipeline.errors import UserError
from pipeline.plan import Plan, Step, make
from pipeline.recipe import read

RECIPE = """
data = "digits"
preset = "quick"
formats = ["onnx", "tflite"]
models = [{ model = "mlp", hidden = [16] }, { model = "lenet5" }]

[[variants]]
name = "pruned"
steps = [{ technique = "prune_structured", macs = 0.4 }]

[[variants]]
name = "chain"
steps = [{ technique = "prune_structured", macs = 0.4 }, { technique = "quantize_static" }]
"""
RUNTIMES = {"onnxruntime": None, "litert": None, "torch": None}

Planner = Callable[..., Plan]


@pytest.fixture
def planned(tmp_path: Path) -> Planner:
    def run(old: str = "", new: str = "", runtimes: Any = RUNTIMES, text: str = RECIPE, **options: Any) -> Plan:
        assert old in text
        path = tmp_path / "recipe.toml"
        path.write_text(text.replace(old, new, 1) if old else text)
        return make(read(path), "cpu", tmp_path / "data", runtimes, **options)

    return run


def keys(plan: Plan, *kinds: str, model: str = "mlp") -> set[str]:
    return {step.key for step in plan.steps if step.kind in kinds and f"{model}" in step.label}


def labels(plan: Plan) -> list[str]:
    return [step.label.removeprefix("digits quick ") for step in plan.steps]


def test_steps_come_after_what_they_need_and_each_once(planned: Planner) -> None:
    plan = planned()
    seen: set[str] = set()
    for step in plan.steps:
        assert set(step.inputs) <= seen, step.label
        assert step.key not in seen
        seen.add(step.key)
    assert json.loads(json.dumps([step.task for step in plan.steps])), "what a worker gets is JSON"


def test_variants_share_the_steps_that_they_begin_with(planned: Planner) -> None:
    plan = planned()
    assert labels(plan).count("mlp/pruned: prune_structured") == 1
    assert "mlp/chain: prune_structured" not in labels(plan)
    cells = {(cell.model, cell.variant): cell for cell in plan.cells}
    assert cells["mlp", "pruned"].model_keys == cells["mlp", "chain"].model_keys[:2]
    assert cells["mlp", "pruned"].model_keys[:1] == cells["mlp", "reference"].model_keys


def test_every_variant_is_a_cell_in_every_format_and_the_reference_in_torch_too(planned: Planner) -> None:
    plan = planned()
    found = [(cell.variant, cell.format, cell.runtime) for cell in plan.cells if cell.model == "mlp"]
    everywhere = [("onnx", "onnxruntime"), ("tflite", "litert")]
    assert sorted(found) == sorted(
        [(variant, *pair) for variant in ("reference", "pruned", "chain") for pair in everywhere]
        + [("reference", "torch", "torch")]
    )
    assert len(plan.cells) == 2 * len(found)


def test_only_the_models_that_a_variant_names(planned: Planner) -> None:
    plan = planned('name = "pruned"', 'name = "pruned"\nmodels = ["lenet5"]')
    assert {cell.model for cell in plan.cells if cell.variant == "pruned"} == {"lenet5"}
    assert {cell.model for cell in plan.cells if cell.variant == "chain"} == {"mlp", "lenet5"}


def test_a_runtime_that_is_missing_is_a_cell_with_the_reason_and_no_work(planned: Planner) -> None:
    plan = planned(runtimes={**RUNTIMES, "litert": "ai-edge-litert is not installed"})
    missing = [cell for cell in plan.cells if cell.runtime == "litert"]
    assert len(missing) == 6 and {cell.unavailable for cell in missing} == {"ai-edge-litert is not installed"}
    assert not any("tflite" in label or "litert" in label for label in labels(plan))
    assert all(cell.unavailable is None and cell.artifact for cell in plan.cells if cell.runtime != "litert")


def test_nothing_is_made_for_cells_that_cannot_be_had(planned: Planner) -> None:
    plan = planned(runtimes=dict.fromkeys(RUNTIMES, "no device"))
    assert plan.steps == () and {cell.unavailable for cell in plan.cells} == {"no device"}
    plan = planned(runtimes={**RUNTIMES, "onnxruntime": "not here", "litert": "not here"})
    assert {step.kind for step in plan.steps} == {"train", "export", "evaluate"}, "torch runs the references only"


def test_runtimes_of_a_gpu_take_the_very_files_that_the_host_s_runtimes_have_proven(planned: Planner) -> None:
    plan = planned(runtimes={"onnxruntime_cuda_fp32": None, "torch_eager_fp16": None, "torch_aoti_int8": None}, judged_here=False)
    found = {(cell.format, cell.runtime) for cell in plan.cells if cell.variant == "reference" and cell.model == "mlp"}
    assert found == {("onnx", "onnxruntime_cuda_fp32"), ("torch", "torch_eager_fp16"), ("torch", "torch_aoti_int8")}
    assert {step.task["runtime"] for step in plan.steps if step.kind == "export"} == {"onnxruntime", "torch"}
    own = {step.key for step in planned().steps}
    assert {step.key for step in plan.steps} <= own, "what --target cpu has made is not made again"


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("macs = 0.4", "macs = 0.5", {"compress", "export"}),
        ("hidden = [16]", "hidden = [17]", {"train", "compress", "export"}),
        ("hidden = [16]", "hidden = [16], train = { epochs = 3 }", {"train", "compress", "export"}),
        ("data =", "seed = 1\ndata =", {"train", "compress", "export"}),
        ('data = "digits"', 'data = { data = "digits", validation = 300 }', {"train", "compress", "export"}),
        ("macs = 0.4", "macs = 0.4, rounds = 3", set()),  # the default, said aloud
        ('name = "pruned"', 'name = "smaller"', set()),
        ("data =", "threads = 2\ndata =", set()),
        ("data =", 'name = "another"\ndata =', set()),
        ('{ model = "lenet5" }', '{ model = "lenet5", name = "net" }', set()),
    ],
)
def test_a_key_covers_what_changes_the_result_and_nothing_else(planned: Planner, old: str, new: str, changed: set[str]) -> None:
    before, after = planned(), planned(old, new)
    for kind in ("train", "compress", "export"):
        assert (keys(before, kind) != keys(after, kind)) == (kind in changed), kind


def test_an_option_of_one_model_leaves_the_others_alone(planned: Planner) -> None:
    kinds = ("train", "compress", "export")
    before, after = planned(), planned("hidden = [16]", "hidden = [17]")
    assert keys(before, *kinds, model="lenet5") == keys(after, *kinds, model="lenet5") != set()


def test_the_data_and_its_place(planned: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(OWN_DATA)
    data = tmp_path / "data" / "points.csv"
    data.parent.mkdir()
    data.write_text("1,2,3\n")
    text = RECIPE.replace('"digits"', '"own.py"').replace("digits", "own")
    before = keys(planned(text=text), "train")
    assert keys(planned(text=text), "train") == before

    data.write_text("1,2,4\n")
    assert keys(planned(text=text), "train") != before, "a byte of the data"
    data.write_text("1,2,3\n")

    shutil.copytree(tmp_path, tmp_path / "elsewhere")
    moved = make(read(tmp_path / "elsewhere" / "recipe.toml"), "cpu", tmp_path / "elsewhere" / "data", RUNTIMES)
    assert keys(moved, "train") == before, "the place of the user's file, of the recipe and of the data"

    (tmp_path / "own.py").write_text(OWN_DATA + "# a comment\n")
    assert keys(planned(text=text), "train") == before
    (tmp_path / "own.py").write_text(OWN_DATA.replace("classes=2", "classes=3"))
    assert keys(planned(text=text), "train") != before, "the code of the user's file"


def test_a_users_data_that_are_not_what_they_say_end_before_any_training(planned: Planner, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "points.csv").touch()
    (tmp_path / "own.py").write_text(OWN_DATA.replace("np.zeros((1, 1, 8, 8)", "np.zeros((1, 1, 9, 9)"))
    with pytest.raises(UserError, match=r"own.py: train: image of a sample is float32 \[1, 9, 9\], its domain says"):
        planned(text=RECIPE.replace('"digits"', '"own.py"'))
    (tmp_path / "own.py").write_text(OWN_DATA.replace('{"image": TensorSpec', '{"picture": TensorSpec'))
    with pytest.raises(UserError, match=r"own.py: train: picture, which its domain names, is missing; found image"):
        planned(text=RECIPE.replace('"digits"', '"own.py"'))
    (tmp_path / "own.py").write_text(OWN_DATA.replace("np.zeros((1, 1, 8, 8)", "np.zeros((1, -1, 8, 8)"))
    with pytest.raises(UserError, match=r"own.py:\d+: ValueError: negative dimensions are not allowed"):
        planned(text=RECIPE.replace('"digits"', '"own.py"'))


def test_data_that_is_missing_names_the_command_that_fetches_it(planned: Planner) -> None:
    with pytest.raises(UserError, match=r"`./edgepress data fetch mnist`.*EDGEPRESS_DATA"):
        planned('"digits"', '"mnist"')


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        (
            "pipeline/compress/quantize_static.py",
            "weight_bits=min(8",
            "weight_bits=min(7",
            ["int8: quantize_static", "int8: onnx"],
        ),
        ("pipeline/compress/quantize_static.py", '"""', '"""Words. ', []),
        ("pipeline/compress/low_rank.py", "def apply", "def another", []),
        ("pipeline/preview.py", "cached", "hcached", []),
    ],
)
def test_the_code_of_a_technique_counts_for_it_alone(
    own_checkout: Any, tiny_recipe: Path, file: str, old: str, new: str, changed: list[str]
) -> None:
    script = f"""
from pipeline.plan import make
from pipeline.recipe import *
def keys():
    plan = make(read(Path({str(tiny_recipe)!r})), "cpu", Path("/"), {{"onnxruntime": None}})
    return {{step.label.split("mlp/")[-1]: step.key for step in plan.steps}}
before = keys()
path = ROOT / {file!r}
path.write_text(path.read_text().replace({old!r}, {new!r}, 1))
after = keys()
print(*[label for label in before if before[label] != after[label]], sep="; ")
"""
    assert old in (own_checkout.root / file).read_text()
    done = subprocess.run([sys.executable, "-c", script], cwd=own_checkout.root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "; ".join(changed)


def test_a_user_file_that_two_models_share_is_trained_once_for_equal_options(planned: Planner, tmp_path: Path) -> None:
    models = 'models = [{ model = "mlp", hidden = [16], name = "a" }, { model = "mlp", hidden = [16], name = "b" }]'
    plan = planned('models = [{ model = "mlp", hidden = [16] }, { model = "lenet5" }]', models)
    assert len([step for step in plan.steps if step.kind == "train"]) == 1
    assert {cell.model for cell in plan.cells} == {"a", "b"}


def test_there_is_at_least_one_worker() -> None:
    assert planning.workers() >= 1
    assert Step("k", "train", "l", {}).stored


OWN_DATA = """
from dataclasses import dataclass
from typing import ClassVar, final
import numpy as np
from pipeline.core import Dataset, Domain, TensorSpec

@final
@dataclass(frozen=True)
class Points:
    licence: ClassVar[str] = "mine"

    def files(self, root):
        return [root / "points.csv"]

    def load(self, root):
        splits = {name: {"image": np.zeros((1, 1, 8, 8), np.float32)} for name in ("train", "test")}
        return Dataset(Domain("points", {"image": TensorSpec((1, 1, 8, 8))}, classes=2), splits, "")
"""


def test_more_seeds_train_and_judge_the_reference_again_and_nothing_else(planned: Planner) -> None:
    plan, more = planned(), planned('model = "mlp",', 'model = "mlp", seeds = 3,')
    added = {step.key: step for step in more.steps if step.key not in {other.key for other in plan.steps}}
    assert sorted(step.kind for step in added.values()) == ["evaluate"] * 2 + ["export"] * 2 + ["train"] * 2
    assert {step.task["seed"] for step in added.values() if step.kind == "train"} == {1, 2}
    (cell,) = [cell for cell in more.cells if cell.seeds]
    assert (cell.model, cell.variant, cell.runtime) == ("mlp", "reference", "torch")
    assert set(cell.seeds) == {step.key for step in added.values() if step.kind == "evaluate"}
    assert plan.sha256 != more.sha256 and plan.sha256 == planned().sha256


@pytest.mark.parametrize("seeds", ["0", "-1", "1.5", '"3"', "101", "true"])
def test_nonsense_seeds_are_refused(planned: Planner, seeds: str) -> None:
    with pytest.raises(UserError, match=r"models\[0\]: seeds must be a whole number from 1 to 100, found"):
        planned('model = "mlp",', f'model = "mlp", seeds = {seeds},')


@pytest.mark.parametrize(
    ("rank", "words"),
    [
        ('{ "1" = 17 }', "recipe.toml: pruned.steps[0]: low_rank: rank 17 of layer '1' is above its own, 16"),
        ('{ "2" = 3 }', "recipe.toml: pruned.steps[0]: low_rank: rank: unknown layer '2'; (allowed: 1, 3)"),
    ],
)
def test_ranks_that_a_model_cannot_have_are_refused_in_the_plan(planned: Planner, rank: str, words: str) -> None:
    with pytest.raises(UserError) as refused:
        planned('technique = "prune_structured", macs = 0.4', f'technique = "low_rank", rank = {rank}')
    assert str(refused.value) == words


def test_ranks_are_those_of_the_student(planned: Planner) -> None:
    student = '{ technique = "distill", student = { hidden = [32] } }, { technique = "low_rank", rank = { "1" = %d } }'
    text = RECIPE.replace(', { model = "lenet5" }', "")
    old = '{ technique = "prune_structured", macs = 0.4 }'
    assert planned(old, student % 20, text=text).steps
    with pytest.raises(UserError, match=r"pruned.steps\[1\]: low_rank: rank 33 of layer '1' is above its own, 32"):
        planned(old, student % 33, text=text)


PRETRAINED = RECIPE.replace('"digits"', '"mnist_turned"').replace('model = "mlp",', 'model = "mlp", pretrained = "mnist",')


@pytest.fixture
def adapted(tmp_path: Path, synthetic_data: Path) -> Planner:
    def run(old: str = "", new: str = "", text: str = PRETRAINED) -> Plan:
        assert old in text
        path = tmp_path / "recipe.toml"
        path.write_text(text.replace(old, new, 1) if old else text)
        return make(read(path), "cpu", synthetic_data, RUNTIMES)

    return run


def test_a_pretrained_reference_is_trained_on_other_data_and_everything_else_is_not(adapted: Planner) -> None:
    plan = adapted()
    used = {(step.kind, step.label.split(" ")[2].split("/")[0].rstrip(":")): step.task["data"]["name"] for step in plan.steps}
    assert used.pop(("train", "mlp")) == "mnist"
    assert used and set(used.values()) == {"mnist_turned"}


def test_a_pretrained_reference_is_the_one_that_its_own_data_trains(adapted: Planner) -> None:
    own = adapted(text=RECIPE.replace('"digits"', '"mnist"'))
    assert keys(adapted(), "train") == keys(own, "train") != set()
    assert keys(adapted(), "compress").isdisjoint(keys(own, "compress"))
    assert keys(adapted('"mnist"', '{ data = "mnist", validation = 100 }'), "train").isdisjoint(keys(own, "train"))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ('"digits"', "inputs of digits are image float32 [1, 1, 8, 8], of mnist_turned image float32 [1, 1, 28, 28]"),
        ('"planetoid"', "inputs of planetoid are features float32 [1, 140, 32], "),
    ],
)
def test_pretraining_on_a_domain_of_another_shape_is_refused(adapted: Planner, other: str, words: str) -> None:
    with pytest.raises(UserError) as refused:
        adapted('"mnist"', other)
    assert str(refused.value).startswith(f"recipe.toml: mlp: pretrained: {words}")
    assert str(refused.value).endswith("; they must be the same")


def test_pretraining_on_texts_of_another_alphabet_is_refused(adapted: Planner) -> None:
    text = RECIPE.replace('"digits"', '"tinyshakespeare"').replace(
        '{ model = "mlp", hidden = [16] }', '{ model = "gru", pretrained = "multi30k_captions" }'
    )
    assert adapted(text=text.replace(', { model = "lenet5" }', "")).steps
    with pytest.raises(UserError, match=r"gru: pretrained: inputs of multi30k_captions are tokens int64 \[1, 65\]"):
        adapted('pretrained = "multi30k_captions"', 'pretrained = { data = "multi30k_captions", length = 64 }', text)


TAUGHT = """
data = "digits"
preset = "quick"
formats = ["onnx"]
models = [{ name = "large", model = "mlp" }, { name = "small", model = "mlp", hidden = [16] }]

[[variants]]
name = "distilled"
models = ["small"]
steps = [{ technique = "distill", teacher = "large", student = { hidden = [16] } }]

[[variants]]
name = "tuned"
models = ["small"]
steps = [{ technique = "distill", teacher = "large" }]
"""


def test_a_teacher_of_the_recipe_is_trained_once_and_comes_before_those_that_learn_from_it(planned: Planner) -> None:
    plan = planned(text=TAUGHT)
    assert labels(plan).count("large: train") == 1
    trained = {step.label.removeprefix("digits quick "): step.key for step in plan.steps if step.kind == "train"}
    for variant in ("distilled", "tuned"):
        (step,) = [step for step in plan.steps if step.label == f"digits quick small/{variant}: distill"]
        assert step.inputs == (trained["small: train"], trained["large: train"])
    alone = planned('teacher = "large", student', "student", text=TAUGHT)
    assert [step.inputs for step in alone.steps if step.label.endswith("small/distilled: distill")] == [
        (trained["small: train"],) * 2
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('teacher = "large", s', 'teacher = "larg", s', "unknown model 'larg'; did you mean 'large'? (allowed: large, small)"),
        (
            'model = "mlp" }',
            'model = "autoencoder" }',
            "distill: kind = 'logits' compares logits; the teacher has reconstruction [1, 1, 8, 8], input [1, 1, 8, 8]",
        ),
        (
            'technique = "distill", teacher',
            'technique = "distill", kind = "attention", teacher',
            "distill: kind = 'attention' compares attention, or feature maps [N, channels, H, W]; the student has 1 [1, 16]",
        ),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused_in_the_plan(planned: Planner, old: str, new: str, words: str) -> None:
    with pytest.raises(UserError) as refused:
        planned(old, new, text=TAUGHT)
    assert str(refused.value) == f"recipe.toml: distilled.steps[0]: {words}"
