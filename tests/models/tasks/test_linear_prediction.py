"""A linear predictor is a fair opponent: its probabilities sum to one, and it knows what it can know."""

from __future__ import annotations

import numpy as np
import pytest

from models.tasks import _mu_law
from models.tasks._linear_prediction import bits, fit, log_mass

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("scale", [1e-5, 1e-3, 0.1, 10.0])
@pytest.mark.parametrize("middle", [-3.0, -0.4, 0.0, 1e-4, 0.7])
def test_the_probabilities_of_all_codes_sum_to_one(middle: float, scale: float) -> None:
    codes = np.arange(_mu_law.LEVELS)
    assert np.exp(log_mass(codes, np.full(len(codes), middle), scale)).sum() == pytest.approx(1, abs=1e-9)


def test_what_is_far_out_has_a_finite_price() -> None:
    # 2 / 1e-4 = 20,000 nats, far below the smallest float.
    found = log_mass(np.array([0, 255]), np.array([1.0, -1.0]), 1e-4)
    assert found == pytest.approx([-20_000, -20_000], rel=0.05)


def test_bits_are_what_the_error_and_the_levels_leave() -> None:
    """White noise cannot be predicted: the entropy of its Laplace distribution over the width of the levels."""
    sound = RANDOM.laplace(0, 0.05, 20_000).clip(-1, 1)
    codes = _mu_law.encode(sound)
    between = np.concatenate([[-1.0], _mu_law.edges(), [1.0]])
    expected = np.log2(2 * np.e * 0.05) - np.log2(np.diff(between)[codes]).mean()
    assert bits(codes) / len(codes) == pytest.approx(expected, abs=0.02)


def test_a_resonance_is_found_and_needs_fewer_bits() -> None:
    driven, sound = RANDOM.laplace(0, 0.01, 8000), np.zeros(8000)
    for place in range(2, len(sound)):
        sound[place] = 1.6 * sound[place - 1] - 0.9 * sound[place - 2] + driven[place]
    sound /= np.abs(sound).max()
    coefficients, predicted = fit(sound)
    assert coefficients[-2:] == pytest.approx([-0.9, 1.6], abs=0.05)
    assert np.abs(sound - predicted).mean() < 0.4 * np.abs(sound).mean()
    codes = _mu_law.encode(sound)
    assert bits(codes) < bits(RANDOM.permutation(codes)) - 1.0 * len(codes)


def test_silence_is_no_trouble() -> None:
    assert bits(np.full(100, _mu_law.SILENCE)) == pytest.approx(0, abs=1)
