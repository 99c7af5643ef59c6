"""A phone as its target reaches it: a real adbd behind which arm64 programs run, and LiteRT's own tool beside our runner."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch

import targets.phone
from pipeline.measure import Failure, Samples
from reports.record import BenchmarkModel
from targets._sampling import Candidate, MeasureSet, Plan
from targets.device.job import Sampling
from targets.phone import Phone
from targets.transport.adb import Adb
from tests.conftest import HOME
from tests.targets import arm64
from tests.targets.adbd import DATA, HERE, phone
from tests.targets.emulated import GROUP

pytestmark = [HERE, GROUP]
ONCE = Plan(processes=1, sampling=Sampling(warmup=1, rounds=1, calls=2, steady_calls=20, energy_seconds=0))
FOLDER = PurePosixPath(DATA) / "edgepress"
OUTPUT = """\
INFO: count=50 first=310 curr=300 min=290 max=320 avg=301.5 std=5
INFO: Inference timings in us: Init: 2517, First inference: 612, Warmup (avg): 320, Inference (avg): 301.5
INFO: Memory footprint delta from the start of the tool (MB): init=1.5 overall=2.5
"""


@pytest.fixture(scope="module")
def adb() -> Iterator[Adb]:
    with phone(HOME / "phone") as found:
        yield found


@pytest.fixture(scope="module")
def tflite(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own
        import litert_torch

        converted = litert_torch.convert(torch.nn.Linear(4, 3).eval(), (torch.zeros(1, 4),))
    path = tmp_path_factory.mktemp("tflite") / "linear.tflite"
    converted.export(str(path))
    return Candidate((path,), {"args_0": np.ones((1, 4), np.float32)})


@pytest.fixture
def measure(adb: Adb, tflite: Candidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Samples]:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adb.port))
    monkeypatch.setattr(targets.phone, "FOLDER", FOLDER)

    def run(program: Path) -> Samples:
        said: list[str] = []
        with Phone(adb.serial, benchmark_model=str(program)).reach(lambda line: None) as board:
            sets = [MeasureSet("litert", {"a": tflite, "b": tflite})]
            measured = board.measure(sets, tmp_path / "lock", ONCE, lambda *told: said.append(str(told[2])))
        assert sum("sending benchmark_model" in line for line in said) == 1  # it is one file, however many it is run on
        assert adb.run(f"ls {FOLDER}/jobs {FOLDER}/files | grep -c '[0-9a-f]\\{{16\\}}'").out.strip() == "0"
        (first, second) = measured.sets[0].values()
        assert isinstance(first, Samples) and isinstance(second, Samples), (first, second)
        assert first.benchmark_model == second.benchmark_model
        told = measured.raw["litert"][0]["candidates"]["0/a"]["benchmark_model"]["output"]
        assert told.startswith(f"--graph={FOLDER}/jobs/")
        assert ".tflite\n--num_threads=1\n" in told
        return first

    return run


def test_litert_s_own_tool_is_run_on_the_phone_beside_our_runner(measure: Callable[[Path], Samples], tmp_path: Path) -> None:
    samples = measure(arm64.write(tmp_path / "benchmark_model", OUTPUT))
    assert samples.benchmark_model == BenchmarkModel(2.517, 0.612, 0.3015, 0.29, 0.32, 0.005, 50, round(2.5 * 2**20))
    assert len(samples.steady[0]) == 20  # ours is there as ever


def test_a_tool_that_crashes_costs_no_figure_of_ours(measure: Callable[[Path], Samples], tmp_path: Path) -> None:
    samples = measure(arm64.write(tmp_path / "benchmark_model", "no model here", arm64.CRASH))
    assert samples.benchmark_model is not None
    assert samples.benchmark_model.average is None
    assert str(samples.benchmark_model.reason).startswith("benchmark_model was ended by SIGILL (it said last: ")
    assert not isinstance(samples, Failure)
    assert samples.steady[0].size == 20


def test_what_is_no_program_for_a_phone_is_refused_before_any_work(
    refused: Callable[..., str], tiny_recipe: Path, tmp_path: Path
) -> None:
    path = arm64.write(tmp_path / "benchmark_model", "", machine=62)
    command = ("run", tiny_recipe, "--target", "phone", "--option")
    assert refused(*command, f"benchmark_model={path}") == (
        f"target phone is not usable here: {path} is a program for x86-64, expected aarch64"
    )


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("benchmark_modle=x", "--target (phone): unknown option 'benchmark_modle'; did you mean 'benchmark_model'?"),
        ("samples=many", "--target (phone): samples: Input should be a valid integer (found 'many')"),
        ("samples", "--option 'samples': expected NAME=VALUE"),
    ],
)
def test_an_option_that_the_target_has_not_is_refused(
    refused: Callable[..., str], tiny_recipe: Path, word: str, line: str
) -> None:
    assert refused("run", tiny_recipe, "--target", "phone", "--option", word).startswith(line)
