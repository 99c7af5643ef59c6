"""Mu-law: levels that lie close together where it is quiet, and come back as themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tasks._mu_law import LEVELS, SILENCE, decode, edges, encode

CODES = np.arange(LEVELS)


def test_every_code_comes_back_from_its_sample() -> None:
    np.testing.assert_array_equal(encode(decode(CODES)), CODES)
    assert encode(np.zeros(1)).tolist() == [SILENCE]
    assert decode(np.array([0, 255])) == pytest.approx([-1, 1])


@given(st.floats(-1, 1))
def test_a_sample_lies_in_the_part_of_its_code(sample: float) -> None:
    code, between = int(encode(np.array(sample))), np.concatenate([[-1.0], edges(), [1.0]])
    assert between[code] - 1e-12 <= sample <= between[code + 1] + 1e-12


@pytest.mark.parametrize(("loudness", "decibels"), [(1.0, 36), (0.1, 34), (0.01, 26)])
def test_what_is_quiet_is_not_lost(loudness: float, decibels: float) -> None:
    """Eight bits of equal steps would have 48, 28 and 8 dB."""
    sound = loudness * np.random.default_rng(0).uniform(-1, 1, 20_000)
    error = np.square(decode(encode(sound)) - sound).mean()
    assert 10 * np.log10(np.square(sound).mean() / error) > decibels
