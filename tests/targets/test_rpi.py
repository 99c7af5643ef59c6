"""A recipe on an emulated board: what the files say there is what torch says, and what integers say without saturation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.bench.kernels import chain, exported
from targets._sampling import Candidate, MeasureSet, Plan
from targets.emulator.count import unusable as uncounted
from targets.emulator.root import BOARDS
from targets.kernels.build import CROSS, library_for
from targets.rpi import Rpi
from tests.targets.emulated import GROUP, HERE
from tests.targets.prepared import RECIPE, prepare

pytestmark = [HERE, GROUP]


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
    there = dict.fromkeys(("litert", "onnxruntime", "openvino")) | {"torch": "not here", "standalone": "not here"}
    if version == "tflite-runtime":  # all that there is for 32 bits
        there |= dict.fromkeys(("onnxruntime", "openvino"), "not here")
    prepared = prepare(recipe, "rpi", tmp_path, there)
    with Rpi(device).reach(lambda line: None) as board:
        assert {name: bool(why) for name, why in board.runtimes().items()} == {name: bool(why) for name, why in there.items()}
        measured = board.measure(list(prepared.sets.values()), tmp_path / "lock", Plan(), lambda *said: None)
    prepared.compare(measured)
    assert {result["environment"]["package"] for result in measured.raw["litert"]} == {version}


@pytest.mark.parametrize("device", ["emulated-pi4", "emulated-pi4-32"], ids=["64", "32"])
def test_layers_of_signs_run_by_kernels_that_come_with_their_file(device: str, tmp_path: Path) -> None:
    machine, runtimes = ("aarch64", ("onnxruntime", "litert")) if device == "emulated-pi4" else ("armv7l", ("litert",))
    if library_for(machine) is None:
        pytest.skip(f"no compiler for {machine}; install it with: apt-get install g++-{CROSS[machine]}")
    shape, module = (1, 16, 6, 6), chain(16, binary=True)
    sample = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    sets = [
        MeasureSet(name, {"binary": Candidate(tuple(exported(name, module, shape, None, tmp_path / name)), sample)})
        for name in runtimes
    ]
    with Rpi(device).reach(lambda line: None) as board:
        measured = board.measure(sets, tmp_path / "lock", Plan(), lambda *said: None)
    expected = module(torch.from_numpy(sample["x"])).detach().numpy()
    for found in measured.outputs:
        np.testing.assert_array_equal(found["binary"]["y"], expected)


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("", "say which board: --device user@host, or --device emulated-pi4"),
        ("emulated-pi6", "unknown board 'emulated-pi6'; did you mean 'emulated-pi"),
    ],
)
def test_a_board_that_is_none_is_refused_before_any_work(refused, recipe: Path, device: str, words: str) -> None:
    assert words in refused("run", recipe, "--target", "rpi", *(["--device", device] if device else []))
