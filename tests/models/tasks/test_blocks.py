"""The moving-block bootstrap knows that neighbours depend on each other."""

from __future__ import annotations

import numpy as np
import pytest

from models.tasks import _blocks


def mean(means: np.ndarray) -> np.ndarray:
    return means[:, 0]


def autoregressive(generator: np.random.Generator, n: int, phi: float) -> np.ndarray:
    """x_t = phi x_{t-1} + noise, from its stationary distribution; of mean 0."""
    x, noise = np.empty(n), generator.standard_normal(n)
    x[0] = noise[0] / np.sqrt(1 - phi**2)
    for t in range(1, n):
        x[t] = phi * x[t - 1] + noise[t]
    return x


@pytest.mark.parametrize(("phi", "block", "low", "high"), [(0.0, 10, 0.88, 0.98), (0.9, 100, 0.85, 0.98), (0.9, 1, 0.0, 0.6)])
def test_intervals_cover_the_mean_if_blocks_are_long_enough(phi: float, block: int, low: float, high: float) -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        bottom, top = _blocks.interval(autoregressive(generator, 2000, phi)[:, None], block, mean)
        hits += bottom <= 0 <= top
    assert low <= hits / 100 <= high  # blocks of 1 are the plain bootstrap: far too sure where neighbours resemble each other


def test_independent_rows_give_the_textbook_interval() -> None:
    values = np.random.default_rng(2).standard_normal(4000)
    low, high = _blocks.interval(values[:, None], 1, mean)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(4000), rel=0.05)


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_short_series_have_intervals_around_their_mean(n: int) -> None:
    values = np.arange(n, dtype=float)
    low, high = _blocks.interval(values[:, None], 168, mean)
    assert low <= values.mean() <= high


def test_the_same_again() -> None:
    values = np.random.default_rng(3).standard_normal((500, 1))
    assert _blocks.interval(values, 24, mean) == _blocks.interval(values, 24, mean)
