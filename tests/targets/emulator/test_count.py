"""Counted instructions are to be the same again: within a run, and from one run to the next."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.measure import Samples
from targets._board import ONCE
from targets._provision import prepare
from targets._sampling import Candidate, MeasureSet, Plan, sample
from targets.emulator.count import Counted, unusable
from targets.emulator.root import BOARDS, make
from targets.transport.remote import Remote
from tests.conftest import HOME
from tests.targets.emulated import GROUP, HERE, world

BOARD = BOARDS["emulated-pi4"]
pytestmark = [HERE, GROUP, pytest.mark.skipif(unusable(BOARD) is not None, reason=unusable(BOARD) or "")]


@pytest.fixture
def candidates(tmp_path: Path) -> dict[str, Candidate]:
    """Two networks of one layer; the second has four times the work of the first."""
    found = {}
    for name, width in (("small", 100), ("large", 400)):
        weights = np.random.default_rng(0).normal(size=(400, width)).astype(np.float32)
        value = [helper.make_tensor_value_info(*each) for each in (("x", TensorProto.FLOAT, [1, 400]), ("y", 1, [1, width]))]
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
        graph = helper.make_graph([node], name, value[:1], value[1:], [numpy_helper.from_array(weights, "w")])
        path = tmp_path / f"{name}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
        found[name] = Candidate((path,), {"x": np.ones((1, 400), np.float32)})
    return found


def test_counts_are_the_same_again_within_half_a_percent(candidates: dict[str, Candidate]) -> None:
    with world(HOME, "emulated-pi4") as ssh:
        place = prepare(ssh, PurePosixPath("/home/pi/.edgepress"), HOME / "wheels")[1]
        counted = Counted(Remote(ssh, place), BOARD, make(BOARD, HOME / "emulated"))
        plan = Plan(processes=1, sampling=ONCE)
        runs = [sample(counted, [MeasureSet("onnxruntime", candidates)], plan, lambda *said: None).sets[0] for _ in range(2)]
    medians = []
    for run in runs:
        for name in ("small", "large"):
            found = run[name]
            assert isinstance(found, Samples), found
            median = np.median(found.instructions)
            assert len(found.instructions) == 9
            assert np.ptp(found.instructions) <= 0.005 * median, (name, found.instructions)
            medians.append(median)
    first, second = np.reshape(medians, (2, 2))
    np.testing.assert_allclose(first, second, rtol=0.005)
    assert first[1] > 1.5 * first[0]  # it is the work that is counted, not the call alone
