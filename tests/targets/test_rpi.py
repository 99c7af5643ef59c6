"""A recipe on an emulated board: what the files say there is what torch says, and what integers say without saturation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from pipeline import model_file
from pipeline.assemble import measure_sets
from pipeline.evaluate import module_predictor, one_by_one
from pipeline.execute import execute
from pipeline.files import load_arrays
from pipeline.places import data_root, store_root
from pipeline.plan import make
from pipeline.recipe import read
from pipeline.registry import find
from pipeline.steps.export import SAMPLE
from pipeline.store import Store
from targets._device import Judges
from targets._sampling import Measured, Plan
from targets.emulator.count import unusable as uncounted
from targets.emulator.root import BOARDS
from targets.rpi import Rpi
from tests.targets.emulated import GROUP, HERE

pytestmark = [HERE, GROUP]
RECIPE = """
name = "board"
data = "digits"
preset = "quick"
models = [{ model = "mlp" }]
[[variants]]
name = "int8"
steps = [{ technique = "quantize_static" }]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "board.toml").write_text(RECIPE)
    return tmp_path / "board.toml"


def test_a_recipe_goes_to_the_board_and_its_report_says_what_was_had_there(cli, recipe: Path) -> None:
    done = cli("run", recipe, "--target", "rpi", "--device", "emulated-pi4", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["run"]["host"]["cpu"] == "Cortex-A72 (Raspberry Pi 4 Model B (emulated))"
    found = {(each["variant"], each["runtime"]): each for each in report["records"]}
    assert "torch is not put on a device" in found.pop(("reference", "torch"))["reason"]
    assert set(found) == {(variant, name) for variant in ("reference", "int8") for name in ("litert", "onnxruntime", "openvino")}
    for record in found.values():
        assert (record["status"], record["provenance"]) == ("ok", "emulated")
        assert record["quality"]["n"] == 360
        assert record["latency_ms"] is record["versus_baseline"] is record["bytes"]["peak_memory"] is None
        if uncounted(BOARDS["emulated-pi4"]) is None:
            assert record["instructions"]["lowest"] > 1000
    assert found["int8", "litert"]["quality"]["versus_reference"]["verdict"] in ("equivalent", "inconclusive")


@pytest.mark.parametrize(
    ("device", "version"), [("emulated-pi4", "ai-edge-litert"), ("emulated-pi4-32", "tflite-runtime")], ids=["64", "32"]
)
def test_the_board_says_what_torch_says_and_what_integers_say(recipe: Path, tmp_path: Path, device: str, version: str) -> None:
    store, target = Store(store_root()), Rpi(device)
    there = dict.fromkeys(("litert", "onnxruntime", "openvino")) | {"torch": "not here"}
    if version == "tflite-runtime":  # all that there is for 32 bits
        there |= dict.fromkeys(("onnxruntime", "openvino"), "not here")
    plan = make(read(recipe), "rpi", data_root(), there, judged_here=False)

    class Silent:
        def started(self, *said: object) -> None: ...
        def progress(self, *said: object) -> None: ...
        def finished(self, *said: object) -> None: ...

    outcomes = execute(plan.steps, {}, store, tmp_path, 1, Silent())
    sets = measure_sets(plan, outcomes, store, aa=False, judges=Judges())
    with target.reach(lambda line: None) as board:
        assert {name: bool(why) for name, why in board.runtimes().items()} == {name: bool(why) for name, why in there.items()}
        measured: Measured = board.measure(list(sets.values()), tmp_path / "lock", Plan(), lambda *said: None)
    cells = {(cell.runtime, cell.variant): cell for cell in plan.cells if not cell.unavailable}
    for (_, runtime), wanted, judged, outputs in zip(sets, sets.values(), measured.judged, measured.outputs, strict=True):
        for variant, candidate in wanted.candidates.items():
            cell, judging = cells[runtime, variant], candidate.judging
            assert judging is not None
            sample = load_arrays(store.path(cell.artifact) / SAMPLE)
            if variant == "reference":
                model = model_file.load(store.path(cell.model_keys[-1]))
                graph = model.family.build().graphs(model.module, model.domain)["classifier"]
                np.testing.assert_allclose(outputs[variant]["logits"], module_predictor(graph)(sample)["logits"], atol=1e-4)
                predict = module_predictor(graph)
            elif runtime == "onnxruntime":
                predict = unoptimized(candidate.files[0])
                np.testing.assert_array_equal(outputs[variant]["logits"], predict(sample)["logits"])
                predict = one_by_one(predict)
            elif runtime == "litert":
                predict = one_by_one(find("runtime", runtime)().load(list(candidate.files), threads=1))
            else:
                continue
            evidence = judging.task.collect({"classifier": predict}, judging.samples)
            np.testing.assert_array_equal(judged[variant]["correct"], evidence["correct"], err_msg=f"{runtime} {variant}")
    assert {result["environment"]["package"] for result in measured.raw["litert"]} == {version}


def unoptimized(path: Path):
    """ONNX Runtime without its optimized integer kernels, which saturate on some x86 CPUs."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("", "say which board: --device user@host, or --device emulated-pi4"),
        ("emulated-pi6", "unknown board 'emulated-pi6'; did you mean 'emulated-pi"),
    ],
)
def test_a_board_that_is_none_is_refused_before_any_work(refused, recipe: Path, device: str, words: str) -> None:
    assert words in refused("run", recipe, "--target", "rpi", *(["--device", device] if device else []))
