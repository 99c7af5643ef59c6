"""Sound as a picture: mel-frequency cepstral coefficients, a column of numbers for each moment. Numpy alone, for devices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.core import Array

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Mfcc:
    """How `mfcc` looks at a sound: the coefficients of MLPerf Tiny's keyword spotting unless told otherwise."""

    rate: int
    """Samples a second."""
    window: int
    """Samples of a frame."""
    hop: int
    """Samples from the start of a frame to the start of the next."""
    coefficients: int = 10
    bands: int = 40
    low: float = 20.0
    """Where the lowest band begins, in hertz; the highest ends at half the rate."""
    floor: float = 1e-3
    """Added to a band's energy before its logarithm: what is this faint beside a clip's loudest sample is silence."""

    def frames(self, samples: int) -> int:
        """Of a sound; what does not fill a frame at its end is left out."""
        return 1 + (samples - self.window) // self.hop


def mfcc(waveform: Array, settings: Mfcc) -> Floats:
    """Sounds [N, samples] of any scale -> coefficients, float32 [N, 1, frames, coefficients].

    Each sound is scaled to a largest magnitude of 1. A frame x under a Hann window w has the power spectrum
    P[k] = |sum_n w[n] x[n] exp(-2 pi i k n / window)|^2; triangles T[b, k], evenly spaced and half overlapping on the mel
    scale, make bands of it, and the orthonormal cosine transform (DCT-II) of their logarithms is the result:
    c[j] = sum_b DCT[j, b] ln(sum_k T[b, k] P[k] + floor), the first `coefficients` of them.
    Source: Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition in
    continuously spoken sentences" (1980); mel(f) = 2595 log10(1 + f / 700), O'Shaughnessy (1987).
    """
    loudest = np.abs(waveform.astype(np.float32)).max(axis=1, keepdims=True)
    scaled = waveform / np.maximum(loudest, np.finfo(np.float32).tiny)
    frames = np.lib.stride_tricks.sliding_window_view(scaled, settings.window, axis=1)[:, :: settings.hop]
    spectrum = np.fft.rfft(frames * hann(settings.window))
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    bands = np.log(power @ triangles(settings).T + np.float32(settings.floor))
    coefficients: Floats = bands @ cosines(settings.bands, settings.coefficients).T
    return coefficients[:, None]


@cache
def hann(size: int) -> Floats:
    """The periodic Hann window, float32 [size]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


@cache
def triangles(settings: Mfcc) -> Floats:
    """What each frequency of a spectrum adds to each band, float32 [bands, window // 2 + 1]; a triangle's peak is 1."""
    edges = np.linspace(mel(settings.low), mel(settings.rate / 2), settings.bands + 2)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    at = mel(np.arange(settings.window // 2 + 1) * settings.rate / settings.window)
    return np.maximum(0, np.minimum((at - left) / (centre - left), (right - at) / (right - centre))).astype(np.float32)


@cache
def cosines(size: int, count: int) -> Floats:
    """The first `count` rows of the orthonormal DCT-II of `size` values, float32 [count, size]."""
    row, column = np.arange(count)[:, None], np.arange(size)[None]
    rows: Floats = np.float32(np.sqrt(2 / size)) * np.cos(np.pi * row * (2 * column + 1) / (2 * size)).astype(np.float32)
    rows[0] /= np.sqrt(2)
    return rows


def mel(hertz: Array | float) -> Array:
    """The mel of frequencies.

    >>> float(mel(1000).round())
    1000.0
    """
    return np.asarray(2595 * np.log10(1 + np.asarray(hertz) / 700))
