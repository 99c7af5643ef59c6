"""Linear prediction: the oldest model of speech, to compare others with and to take a sound's own colour out of it. Numpy only.

Each sample is told from the `ORDER` before it, silence before the first, by coefficients of least squares over the sound itself.
Source: B. Atal & M. Schroeder, "Adaptive predictive coding of speech signals" (1970).
"""

from __future__ import annotations

import numpy as np

from models.tasks import _mu_law
from pipeline.core import Array

ORDER = 16
SILENT = 1e-9
"""A scale for what is predicted without any error."""


def fit(sound: Array) -> tuple[Array, Array]:
    """A sound [T] -> coefficients [ORDER], of the oldest sample first, and what they predict [T]."""
    padded = np.concatenate([np.zeros(ORDER), sound])
    before = np.lib.stride_tricks.sliding_window_view(padded, ORDER)[: len(sound)]
    coefficients, *_ = np.linalg.lstsq(before, sound, rcond=None)
    return coefficients, before @ coefficients


def bits(codes: Array) -> float:
    """Bits of a sound's mu-law codes [T], all T together.

    Around the prediction lies a Laplace distribution whose scale is the mean absolute error over this very sound; a code's
    probability is its integral over the part of the line that the code stands for. Coefficients and scale were fitted to what
    they are judged by, and are not counted: that flatters the predictor.
    """
    sound = _mu_law.decode(codes)
    _, predicted = fit(sound)
    scale = max(float(np.abs(sound - predicted).mean()), SILENT)
    return float(-log_mass(codes, predicted, scale).sum() / np.log(2))


def log_mass(codes: Array, middle: Array, scale: float) -> Array:
    """Logarithm of what Laplace distributions around `middle` [T] have of each code's part of the line."""
    edges = np.concatenate([[-np.inf], _mu_law.edges(), [np.inf]])
    low, high = (edges[codes] - middle) / scale, (edges[codes + 1] - middle) / scale
    # Mirrored, a part that lies below the middle lies above it.
    near, far = np.where(high <= 0, -high, low), np.where(high <= 0, -low, high)
    around = (low < 0) & (high > 0)
    beside = -near + np.log(-np.expm1(np.where(around, -1.0, near - far))) - np.log(2)
    both = np.log1p(-(np.exp(-np.abs(low)) + np.exp(-np.abs(high))) / 2)
    found: Array = np.where(around, both, beside)
    return found
