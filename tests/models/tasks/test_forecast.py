"""Forecasts are judged by closed-form errors, held against those that cost nothing, and paired over time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.tasks.forecast import Forecast, seasonal

TASK = Forecast("forecaster")
ERRORS = arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 100))


def evidence(squared: np.ndarray) -> dict[str, np.ndarray]:
    n = len(squared)
    return {"squared": squared, "absolute": np.ones(n), "last_value": np.full(n, 2.0), "season_ago": np.full(n, 1.0)}


def test_errors_are_means_over_hours_and_variables() -> None:
    history = np.arange(48, dtype=np.float32).reshape(1, 48, 1)
    future = np.full((1, 24, 1), 50, np.float32)
    found = TASK.collect({"forecaster": lambda inputs: {"forecast": future + 3}}, {"history": history, "future": future})
    assert found["squared"].tolist() == [9.0]
    assert found["absolute"].tolist() == [3.0]
    assert found["last_value"].tolist() == [9.0]  # 47 against 50
    assert found["season_ago"] == pytest.approx(np.mean((np.arange(24, 48) - 50) ** 2))


def test_the_season_repeats_over_a_longer_horizon() -> None:
    history = np.arange(30).reshape(1, 30, 1)
    assert seasonal(history, 5, 3)[0, :, 0].tolist() == [27, 28, 29, 27, 28]
    assert seasonal(history[:, :2], 3, 24)[0, :, 0].tolist() == [0, 1, 0]  # less than a season is known


def test_the_judge_sees_the_history_alone() -> None:
    asked = []

    def predict(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        asked.append(set(inputs))
        return {"forecast": np.zeros((1, 24, 1), np.float32)}

    TASK.collect({"forecaster": predict}, {"history": np.zeros((1, 48, 1)), "future": np.zeros((1, 24, 1))})
    assert asked == [{"history"}]


@given(ERRORS)
def test_a_larger_error_is_a_negative_difference(squared: np.ndarray) -> None:
    delta, low, high = TASK.difference(evidence(squared + 0.5), evidence(squared))
    assert (delta, low, high) == pytest.approx((-0.5, -0.5, -0.5))  # every pair says the same


@given(ERRORS, st.integers(0, 2**32 - 1))
def test_difference_mirrors(squared: np.ndarray, seed: int) -> None:
    other = np.random.default_rng(seed).permutation(squared)
    delta, low, high = TASK.difference(evidence(squared), evidence(other))
    mirrored = TASK.difference(evidence(other), evidence(squared))
    assert mirrored[0] == pytest.approx(-delta)
    assert mirrored[1] <= mirrored[0] + 1e-9
    assert low <= delta + 1e-9
    assert mirrored[1] == pytest.approx(-high, abs=1e-6)


def test_details_hold_the_free_forecasts_and_what_is_saved() -> None:
    squared = np.full(500, 0.75)
    found = {each.metric: each for each in TASK.details(evidence(squared))}
    assert found["mae"].value == 1.0
    assert (found["mse_of_last_value"].value, found["mse_of_season_ago"].value) == (2.0, 1.0)
    saved = found["mse_saved_against_season_ago"]  # the better of the two
    assert (saved.value, saved.low, saved.high) == pytest.approx((0.25, 0.25, 0.25))
