"""An invisible mark in pictures that a model made: a pattern of signs, too faint to be seen, found by correlation. Numpy only.

A spread-spectrum code (I. Cox et al., "Secure spread spectrum watermarking for multimedia", 1997). It is found in a picture as it
was written, brighter or darker, not in one of another size; and since the pattern is no secret, who wants to can take it out.
"""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np

from pipeline.core import Array

KEY = 0xED6E
THRESHOLD = 5.0
"""Standard deviations: of what is not marked 3 in 10 million are taken for marked, whatever it shows."""
FAINT = 2
"""Levels of 255 by which a pixel is changed, beside what keeps black and white from being cut."""


def marked(levels: Array) -> Array:
    """uint8 [H, W, channels], every pixel a little brighter or darker; at most 2 * FAINT levels from what it was."""
    room = FAINT + levels.astype(np.float64) * (255 - 2 * FAINT) / 255
    with_mark: Array = np.round(room + FAINT * signs(levels.shape[0] * levels.shape[1]).reshape(*levels.shape[:2], 1)).astype(
        np.uint8
    )
    return with_mark


def score(levels: Array) -> float:
    """How surely a picture uint8 [H, W, channels] is marked: standard normal where it is not, far above 5 where it is."""
    grey = levels.astype(np.float64).mean(axis=2)
    padded = np.pad(grey, 1, mode="edge")
    around = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
    return correlation((grey - around).ravel(), 2 * FAINT)


def correlation(fine: Array, largest: float) -> float:
    """Of fine detail [N] with the pattern, over its standard deviation; what is larger than a mark (edges) counts as `largest`.

    The signs being drawn evenly, the sum of N independent +-x has mean 0 and variance sum x^2 for any x.
    """
    kept = fine.clip(-largest, largest)
    energy = float(np.square(kept).sum())
    return float((kept * signs(len(kept))).sum()) / sqrt(energy) if energy else 0.0


def signs(n: int) -> Array:
    """The pattern: +-1 [n], the same for all."""
    # Raw bits of the generator: those are the same under every numpy (NEP 19).
    words = np.random.PCG64(KEY).random_raw(-(-n // 64)).astype("<u8")
    drawn: Array = 2.0 * np.unpackbits(words.view(np.uint8))[:n] - 1
    return drawn


def false_alarms(threshold: float = THRESHOLD) -> float:
    """The stated rate of unmarked pictures above a threshold.

    >>> f"{false_alarms():.1e}"
    '2.9e-07'
    """
    return erfc(threshold / sqrt(2)) / 2
