from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dct
from scipy.signal import get_window

from models.data._spectrogram import Mfcc, cosines, hann, mel, mfcc, triangles

SETTINGS = Mfcc(8000, window=320, hop=160)
ALL = Mfcc(8000, window=320, hop=160, coefficients=40)
"""As many coefficients as bands, so that the transform can be undone."""


def tone(hertz: float, samples: int = 8000) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(samples) / 8000)[None]


def band_energies(waveform: np.ndarray) -> np.ndarray:
    """[N, frames, bands], out of all coefficients."""
    return np.exp(mfcc(waveform, ALL)[:, 0] @ cosines(40, 40)) - ALL.floor


def test_a_second_has_49_frames_of_10_coefficients() -> None:
    result = mfcc(np.zeros((3, 8000), np.int16), SETTINGS)
    assert (result.shape, result.dtype) == ((3, 1, 49, 10), np.float32)
    assert SETTINGS.frames(8000) == 49


@given(samples=st.integers(320, 2000))
def test_frames_are_counted_as_they_are_made(samples: int) -> None:
    assert mfcc(np.ones((1, samples)), SETTINGS).shape[2] == SETTINGS.frames(samples)


@pytest.mark.parametrize("hertz", [100, 440, 1000, 2500, 3900])
def test_a_pure_tone_lands_in_its_mel_band(hertz: float) -> None:
    energies = band_energies(tone(hertz))[0].mean(axis=0)
    edges = np.linspace(mel(20), mel(4000), 42)
    centres = 700 * (10 ** (edges[1:-1] / 2595) - 1)
    assert abs(energies.argmax() - abs(centres - hertz).argmin()) <= 1
    assert energies.max() > 0.3 * energies.sum()


def test_a_tones_energy_is_what_theory_says() -> None:
    """A sine of amplitude 1 on a frequency of the spectrum: |X| is window/4 there, half of that at its neighbours (Hann)."""
    energies = band_energies(tone(1000))[0, 5]
    place = 1000 * 320 // 8000
    expected = triangles(ALL)[:, place - 1 : place + 2] @ np.array([40.0, 80.0, 40.0]) ** 2
    np.testing.assert_allclose(energies, expected, rtol=1e-3, atol=0.05)  # of float32 logarithms, beside energies of 6400


def test_silence_is_the_floor_alone() -> None:
    result = mfcc(np.zeros((1, 8000), np.int16), SETTINGS)[0, 0]
    np.testing.assert_allclose(result[:, 0], np.sqrt(40) * np.log(SETTINGS.floor), rtol=1e-5)
    np.testing.assert_allclose(result[:, 1:], 0, atol=1e-5)


@given(volume=st.integers(1, 15), seed=st.integers(0, 100))
def test_how_loud_a_recording_is_plays_no_part(volume: int, seed: int) -> None:
    waveform = np.random.default_rng(seed).integers(-2000, 2001, (1, 800)).astype(np.int16)
    np.testing.assert_allclose(mfcc(waveform * np.int16(volume), SETTINGS), mfcc(waveform, SETTINGS), atol=1e-3)


def test_the_loudest_negative_sample_does_not_overflow() -> None:
    waveform = np.full((1, 800), -32768, np.int16)
    np.testing.assert_allclose(mfcc(waveform, SETTINGS), mfcc(-np.ones((1, 800)), SETTINGS), atol=1e-4)


def test_a_clip_does_not_depend_on_its_batch() -> None:
    waveform = np.random.default_rng(0).integers(-2000, 2001, (5, 800)).astype(np.int16)
    alone = np.concatenate([mfcc(waveform[i : i + 1], SETTINGS) for i in range(5)])
    np.testing.assert_allclose(mfcc(waveform, SETTINGS), alone, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 13, 40])
def test_the_cosine_transform_is_scipys(size: int) -> None:
    values = np.random.default_rng(0).normal(size=(7, size))
    np.testing.assert_allclose(values @ cosines(size, size).T, dct(values, type=2, norm="ortho", axis=1), atol=1e-5)


def test_the_window_is_scipys() -> None:
    np.testing.assert_allclose(hann(320), get_window("hann", 320), atol=1e-7)


def test_bands_lie_side_by_side_and_none_is_empty() -> None:
    weights = triangles(SETTINGS)
    frequencies = np.arange(161) * 25.0
    assert (weights.max(axis=1) > 0.5).all()
    # Between the first and the last centre, half overlapping triangles of height 1 add up to 1.
    edges = 700 * (10 ** (np.linspace(mel(20), mel(4000), 42) / 2595) - 1)
    inside = (frequencies >= edges[1]) & (frequencies <= edges[-2])
    np.testing.assert_allclose(weights[:, inside].sum(axis=0), 1, atol=1e-5)
    assert weights[:, frequencies < 20].sum() == 0


def test_a_thousand_hertz_are_a_thousand_mels() -> None:
    assert float(mel(1000)) == pytest.approx(1000, abs=0.1)
    assert float(mel(0)) == 0
