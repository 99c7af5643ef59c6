"""Mu-law: sound in 256 levels that lie close together where it is quiet. Numpy only.

A sample x from -1 to 1 is bent, sign(x) ln(1 + 255 |x|) / ln(256), and the bent range from -1 to 1 cut into 256 equal parts, of
which the outer two are half as wide: a code from 0 to 255. Sources: ITU-T G.711 (1972); A. van den Oord et al., "WaveNet: a
generative model for raw audio" (2016, arXiv:1609.03499), section 2.2.
"""

from __future__ import annotations

import numpy as np

from pipeline.core import Array

LEVELS = 256
SILENCE = LEVELS // 2
"""The code of 0."""


def encode(samples: Array) -> Array:
    """Samples from -1 to 1 -> codes int64 of the same shape.

    >>> encode(np.array([-1.0, 0.0, 0.001, 0.1, 1.0]))
    array([  0, 128, 133, 203, 255])
    """
    bent = np.sign(samples) * np.log1p((LEVELS - 1) * np.abs(samples)) / np.log(LEVELS)
    codes: Array = np.floor((bent + 1) / 2 * (LEVELS - 1) + 0.5).astype(np.int64)
    return codes


def decode(codes: Array) -> Array:
    """The middle of each code's part, float64 from -1 to 1: `encode` gives the codes again."""
    return _straight(2 * np.asarray(codes, np.float64) / (LEVELS - 1) - 1)


def edges() -> Array:
    """Where a code ends and the next begins: float64 [255], rising."""
    return _straight((2 * np.arange(LEVELS - 1) + 1) / (LEVELS - 1) - 1)


def _straight(bent: Array) -> Array:
    samples: Array = np.sign(bent) * np.expm1(np.abs(bent) * np.log(LEVELS)) / (LEVELS - 1)
    return samples
