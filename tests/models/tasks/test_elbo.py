"""A bound on a likelihood is judged by closed forms, with the same draws for everyone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.tasks.elbo import Elbo, missed
from pipeline.core import Arrays

TASK = Elbo("encoder", "decoder", "image", dark=-1.0, bright=3.0)
NATS = arrays(np.float64, st.integers(2, 60), elements=st.floats(0, 1000))


def predictors(mean: float, log_variance: float, logit: float, asked: list[Arrays] | None = None) -> dict:
    def encode(inputs: Arrays) -> Arrays:
        if asked is not None:
            asked.append(inputs)
        shape = (len(inputs["image"]), 5)
        return {"mean": np.full(shape, mean, np.float32), "log_variance": np.full(shape, log_variance, np.float32)}

    def decode(inputs: Arrays) -> Arrays:
        if asked is not None:
            asked.append(inputs)
        return {"logits": np.full((len(inputs["latent"]), 1, 4, 4), logit, np.float32)}

    return {"encoder": encode, "decoder": decode}


def pictures(n: int, value: float | None = None) -> Arrays:
    shape = (n, 1, 4, 4)
    return {
        "image": np.random.default_rng(n).uniform(-1, 3, shape).astype(np.float32)
        if value is None
        else np.full(shape, value, np.float32)
    }


def test_the_parts_are_those_of_closed_forms() -> None:
    found = TASK.collect(predictors(0.5, np.log(4.0), 0.0), pictures(3))
    # KL(N(0.5, 4) || N(0, 1)) = (4 + 0.25 - 1 - log 4) / 2, five times; a chance of a half misses log 2 a pixel.
    assert found["divergence"] == pytest.approx([5 * (3.25 - np.log(4)) / 2] * 3)
    assert found["reconstruction"] == pytest.approx([16 * np.log(2)] * 3)
    assert TASK.collect(predictors(0.0, 0.0, 9.0), pictures(2))["divergence"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("value", "bits"), [(-1.0, 0.0), (3.0, 1.0)])
def test_black_is_never_drawn_and_full_brightness_always(value: float, bits: float) -> None:
    asked: list[Arrays] = []
    TASK.collect(predictors(0, 0, 0, asked), pictures(2, value))
    assert set(asked[0]["image"].ravel().tolist()) == {bits}


def test_grey_is_drawn_as_often_as_it_is_bright() -> None:
    asked: list[Arrays] = []
    TASK.collect(predictors(0, 0, 0, asked), pictures(500, 0.0))
    assert asked[0]["image"].mean() == pytest.approx(0.25, abs=0.02)


def test_everyone_is_asked_the_same() -> None:
    ours: list[Arrays] = []
    theirs: list[Arrays] = []
    for asked in (ours, theirs):
        TASK.collect(predictors(1.0, -1.0, 0, asked), pictures(4))
    for one, other in zip(ours, theirs, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    assert len(np.unique(ours[1]["latent"])) == ours[1]["latent"].size, "noise is drawn for every number"


@given(total=NATS)
def test_the_metric_is_the_mean_of_the_sum_and_fewer_nats_are_better(total: np.ndarray) -> None:
    evidence = {"reconstruction": total, "divergence": np.full(len(total), 2.0), "error": total / 1000}
    low, high = TASK.interval(evidence)
    assert low <= TASK.value(evidence) <= high
    assert TASK.value(evidence) == pytest.approx(total.mean() + 2)
    worse = {**evidence, "reconstruction": total + 3}
    assert TASK.difference(worse, evidence) == pytest.approx((-3, -3, -3))
    assert [detail.value for detail in TASK.details(evidence)] == pytest.approx([total.mean(), 2.0, total.mean() / 1000])


def test_the_error_is_that_of_the_chances_from_the_given_brightness() -> None:
    # A logit of 0 is a chance of a half; 0.0 is a quarter of the way from dark to bright.
    assert TASK.collect(predictors(0, 0, 0.0), pictures(2, 0.0))["error"] == pytest.approx([1 / 16] * 2)
    assert TASK.collect(predictors(0, 0, -60.0), pictures(2, -1.0))["error"] == pytest.approx([0] * 2)


def test_logits_that_are_far_out_miss_what_they_say_and_no_more() -> None:
    assert missed(np.array([[1000.0, -1000.0]]), np.array([[1.0, 0.0]])).tolist() == [0.0]
    assert missed(np.array([[1000.0]]), np.array([[0.0]])).tolist() == [1000.0]
