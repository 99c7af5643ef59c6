"""Where the rays of a pinhole camera begin and where they go. Numpy only."""

from __future__ import annotations

import numpy as np

from pipeline.core import Array

DISTANCE = 3.0
"""From the middle of the scene, in its own units."""
FIELD = 45.0
"""Degrees from the left edge of a view to the right one."""


def rays(azimuth: float, elevation: float, side: int) -> tuple[Array, Array]:
    """Of a camera that looks at the middle (degrees): origins, directions of length 1, float32 [side * side, 3], row by row."""
    around, up = np.radians([azimuth, elevation])
    outward = np.array([np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up)])
    right = np.array([-np.sin(around), np.cos(around), 0.0])
    above = np.cross(outward, right)
    places = (2 * (np.arange(side) + 0.5) / side - 1) * np.tan(np.radians(FIELD / 2))
    directions = -outward + places[None, :, None] * right - places[:, None, None] * above
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    flat = directions.reshape(-1, 3).astype(np.float32)
    return np.broadcast_to((DISTANCE * outward).astype(np.float32), flat.shape).copy(), flat
