"""Smaller and larger pictures by cubic interpolation, as one matrix a side: the same numbers in numpy and in torch."""

from __future__ import annotations

from functools import cache

import numpy as np

from pipeline.core import Array

A = -0.5
"""Keys' parameter: the only one with which quadratics are kept."""


@cache
def matrix(before: int, after: int) -> Array:
    """float64 [after, before]: a row of `before` pixels -> one of `after`, of the same brightness.

    R. Keys, "Cubic convolution interpolation for digital image processing" (1981); where the picture becomes smaller the kernel
    becomes wider, so that nothing is left out. Beyond the edge there are no pixels: the weights of those inside sum to 1.
    """
    scale = before / after
    wide = max(scale, 1.0)
    centres = (np.arange(after)[:, None] + 0.5) * scale
    weights = _kernel((np.arange(before)[None] + 0.5 - centres) / wide)
    found: Array = weights / weights.sum(axis=1, keepdims=True)
    found.flags.writeable = False
    return found


def resized(pictures: Array, height: int, width: int) -> Array:
    """[N, C, H, W] -> [N, C, height, width], of the pictures' own type."""
    rows, columns = (
        matrix(before, after).astype(pictures.dtype) for before, after in zip(pictures.shape[2:], (height, width), strict=True)
    )
    made: Array = rows @ pictures @ columns.T
    return made


def _kernel(x: Array) -> Array:
    """Of distances in pixels."""
    x = np.abs(x)
    near = ((A + 2) * x - (A + 3)) * x * x + 1
    far = ((A * x - 5 * A) * x + 8 * A) * x - 4 * A
    made: Array = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return made
