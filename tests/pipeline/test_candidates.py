"""What a target is given to judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.candidates import FEW
from targets._device import Judges
from tests.targets.prepared import prepare

RECIPE = 'name = "text"\ndata = "tinyshakespeare"\npreset = "quick"\nmodels = [{ model = "rnn" }]\n'
THERE = {"onnxruntime": None, "litert": "not here", "openvino": "not here", "torch": "not here"}


def samples(recipe: Path, folder: Path, judges: Judges) -> int:
    judging = prepare(recipe, "web", folder, THERE, judges).sets["rnn", "onnxruntime"].candidates["reference"].judging
    assert judging is not None
    return len(judging.samples["tokens"])


def test_a_judge_whose_calls_are_limited_gets_fewer_samples(
    synthetic_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPRESS_DATA", str(synthetic_data))
    recipe = tmp_path / "text.toml"
    recipe.write_text(RECIPE)
    everything = samples(recipe, tmp_path, Judges())
    assert samples(recipe, tmp_path, Judges(samples=3)) == 3 < everything
    assert samples(recipe, tmp_path, Judges(calls=10**9)) == everything
    assert samples(recipe, tmp_path, Judges(calls=128 * 5)) == 5  # a window is 128 steps
    assert samples(recipe, tmp_path, Judges(calls=1)) == FEW
