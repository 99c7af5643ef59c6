"""The kernels' study compares what it says that it compares, and holds a rival to what ours are held to."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pipeline.bench.kernels import HELD, RIVALS, fast
from pipeline.registry import ROOT


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("bench") / "kernels.json"
    command = [sys.executable, "-m", "pipeline.bench.kernels", "--channels", "8", "--sizes", "5", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


def test_each_way_of_ours_stands_beside_every_runtime(summary: dict) -> None:
    ours = {f"packed {name}" for name in fast()} | {"onnxruntime packed"}
    found = {(row["binary"], row["runtime"]) for row in summary["results"] if not row["held_to"]}
    assert found == {(way, runtime) for way in ours for runtime, _ in RIVALS}
    for row in summary["results"]:
        assert row["channels"] == 8 and row["size"] == 5
        assert 0 < row["low"] <= row["times_fp32"] <= row["high"]
        assert (row["times_int8"] is None) == (row["runtime"] == "litert")
    assert {row["runtime"] for row in summary["whole_network"]} == {runtime for runtime, _ in RIVALS}


def test_what_is_not_the_fastest_here_is_compared_with_a_rival_that_is_held_to_it(summary: dict) -> None:
    held = {(row["binary"], row["held_to"], row["runtime"]) for row in summary["results"] if row["held_to"]}
    assert held == {(f"packed {name}", name, HELD) for name in fast()[1:]}


def test_the_ceiling_of_each_set_of_instructions_is_measured(summary: dict) -> None:
    assert set(fast()) <= set(summary["ceiling"])
    assert all(each["times_fp32"] > 1 for each in summary["ceiling"].values())
