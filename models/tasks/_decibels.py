"""How near pictures come to others, as a ratio of powers. Numpy only."""

from __future__ import annotations

import numpy as np

from pipeline.core import Array

LEAST = 1e-10
"""Mean squared error of pictures that are the same, for which no ratio would be finite: 100 dB."""


def decibels(error: Array) -> Array:
    """Peak signal-to-noise ratio of mean squared errors, brightness 0 to 1.

    >>> decibels(np.array([0.01, 0.0]))
    array([ 20., 100.])
    """
    ratio: Array = -10 * np.log10(np.maximum(error, LEAST))
    return ratio
