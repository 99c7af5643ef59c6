"""The area is the textbook's, its intervals cover the truth as often as they say, and its difference knows its pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from models.tasks.anomaly import Anomaly, auroc, interval
from pipeline.core import Arrays
from pipeline.errors import UserError

TASK = Anomaly("autoencoder")
SIMULATIONS = 400
COVERED = range(368, 396)
"""Of 400 intervals 380 +- 4.4 cover at 95 %; three deviations below and above, and half a point of slack for asymptotics."""


def evidence(normal: object, anomalous: object, kind: int = 1) -> Arrays:
    scores = [np.asarray(each, np.float64) for each in (normal, anomalous)]
    return {"score": np.concatenate(scores), "kind": np.repeat([0, kind], [len(each) for each in scores])}


def binormal(rng: np.random.Generator, n: int, distance: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of two normal distributions, whose area is Phi(distance / sqrt(2))."""
    return rng.standard_normal(n), rng.standard_normal(n) + distance


def test_scores_are_mean_squared_errors() -> None:
    images = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
    made = images + np.array([2, 3], np.float32).reshape(2, 1, 1, 1)
    found = TASK.collect({"autoencoder": lambda _: {"reconstruction": made}}, {"image": images, "kind": np.array([0, 1])})
    assert found["score"].tolist() == [4.0, 9.0]
    assert found["kind"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("normal", "anomalous", "area"),
    [
        ([1, 2], [3, 4], 1.0),
        ([3, 4], [1, 2], 0.0),
        ([5, 5], [5, 5, 5], 0.5),
        ([1, 3], [2], 0.5),
        ([1, 2, 3], [2, 4], 5 / 6 - 1 / 12),
    ],
    ids=["perfect", "reversed", "all tied", "between", "one tie"],
)
def test_closed_forms(normal: list[float], anomalous: list[float], area: float) -> None:
    assert TASK.value(evidence(normal, anomalous)) == pytest.approx(area)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
)
def test_it_is_scikit_learns_and_lies_in_its_interval(normal: list[int], anomalous: list[int]) -> None:
    found = evidence(normal, anomalous)
    value = TASK.value(found)
    assert value == pytest.approx(roc_auc_score(found["kind"], found["score"]))
    low, high = TASK.interval(found)
    assert 0 <= low <= value + 1e-12 and value <= high + 1e-12 <= 1 + 2e-12


def test_the_variance_is_delongs() -> None:
    """Written out as in the paper: placements by comparing all pairs."""
    rng = np.random.default_rng(0)
    normal, anomalous = np.round(rng.standard_normal(40), 1), np.round(rng.standard_normal(30) + 1, 1)
    psi = (anomalous[:, None] > normal).astype(float) + 0.5 * (anomalous[:, None] == normal)
    area, variance = psi.mean(), psi.mean(1).var(ddof=1) / 30 + psi.mean(0).var(ddof=1) / 40
    low, high = interval(normal, anomalous)
    logit = np.log(area / (1 - area))
    half = 1.959964 * np.sqrt(variance) / (area * (1 - area))
    assert auroc(normal, anomalous) == pytest.approx(area)
    assert (low, high) == (pytest.approx(1 / (1 + np.exp(half - logit))), pytest.approx(1 / (1 + np.exp(-half - logit))))


@pytest.mark.parametrize("distance", [0.5, 2.5])
def test_the_interval_covers(distance: float) -> None:
    rng = np.random.default_rng(1)
    truth = norm.cdf(distance / np.sqrt(2))
    intervals = [interval(*binormal(rng, 100, distance)) for _ in range(SIMULATIONS)]
    assert sum(low <= truth <= high for low, high in intervals) in COVERED


def test_the_paired_difference_covers() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    truth = norm.cdf(1.5 / np.sqrt(2)) - norm.cdf(1.5 / 1.25 / np.sqrt(2))
    for _ in range(SIMULATIONS):
        normal, anomalous = binormal(rng, 100, 1.5)
        noisy = [scores + 0.75 * rng.standard_normal(100) for scores in (normal, anomalous)]
        _, low, high = TASK.difference(evidence(normal, anomalous), evidence(*noisy))
        covered += low <= truth <= high
    assert covered in COVERED


def test_the_difference_is_negative_where_we_are_worse_and_mirrors() -> None:
    rng = np.random.default_rng(3)
    normal, anomalous = binormal(rng, 200, 2.0)
    good, bad = evidence(normal, anomalous), evidence(normal, anomalous - 1)
    delta, low, high = TASK.difference(bad, good)
    assert low < delta < high < 0
    assert TASK.difference(good, bad) == pytest.approx((-delta, -high, -low))
    assert TASK.difference(good, good) == (0.0, 0.0, 0.0)


def test_no_mistake_is_still_not_certainty() -> None:
    low, high = TASK.interval(evidence(range(10), range(10, 30)))
    assert (low, high) == (pytest.approx(0.6915, abs=1e-4), 1.0)  # Clopper & Pearson's for 10 of 10
    assert TASK.interval(evidence(range(10, 30), range(10)))[1] == pytest.approx(1 - 0.6915, abs=1e-4)


def test_details_have_each_kind_that_is_there_and_the_normal_error() -> None:
    found = evidence([1.0, 2.0, 3.0], [4.0, 5.0])
    blur = evidence([], [0.0, 0.5, 1.5], kind=3)
    both = {name: np.concatenate([found[name], blur[name]]) for name in found}
    assert TASK.value(both) == 1.0
    area, error = TASK.details(both)
    assert (area.metric, area.value) == ("auroc, blur", pytest.approx(1 / 9))
    assert (error.metric, error.value) == ("mean squared error, normal", 2.0)
    assert area.low is not None and area.high is not None and area.low < area.value < area.high


@pytest.mark.parametrize(
    ("normal", "anomalous", "words"), [([], [1.0], "found 0 samples of kind 0"), ([1.0], [], "and 0 of kind 1")]
)
def test_one_kind_alone_has_no_area(normal: list[float], anomalous: list[float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        TASK.value(evidence(normal, anomalous))
