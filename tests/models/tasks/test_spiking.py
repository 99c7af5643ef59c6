from __future__ import annotations

import numpy as np
import pytest

from models.tasks.classification import Classification
from models.tasks.spiking import Spiking
from pipeline.core import Arrays

LOGITS = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 3.0], [1.0, 0.0]], np.float32)
SAMPLES = {"image": np.zeros((4, 1)), "label": np.array([1, 0, 0, 0])}


def network(inputs: Arrays) -> Arrays:
    assert set(inputs) == {"image"}
    return {"logits": LOGITS, "spikes": np.array([10, 20, 30, 40], np.float32)}


def test_accuracy_is_that_of_any_classifier() -> None:
    evidence = Spiking("classifier").collect({"classifier": network}, SAMPLES)
    plain = Classification("classifier").collect({"classifier": network}, SAMPLES)
    assert evidence["correct"].tolist() == plain["correct"].tolist() == [True, True, False, True]
    assert Spiking("classifier").value(evidence) == 0.75


def test_spikes_are_reported_with_students_interval() -> None:
    task = Spiking("classifier")
    (detail,) = task.details(task.collect({"classifier": network}, SAMPLES))
    # t(0.975, 3) = 3.182446 and a standard error of sqrt(500 / 3 / 4)
    half = 3.182446 * (500 / 12) ** 0.5
    assert (detail.metric, detail.value) == ("spikes per inference", 25.0)
    assert (detail.low, detail.high) == (pytest.approx(25 - half, rel=1e-6), pytest.approx(25 + half, rel=1e-6))
