"""Pictures whose style others take on: patterns in strong colours, made by a formula, the same everywhere. Numpy only."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pipeline.core import Array

Style = Literal["waves", "mosaic"]
COLOURS = np.array([[0.05, 0.08, 0.35], [0.10, 0.45, 0.75], [0.98, 0.80, 0.15], [0.90, 0.25, 0.10], [0.97, 0.95, 0.85]])
"""Night blue, sky blue, yellow, vermilion, cream: red, green and blue of each, 0 to 1."""
WAVES = 3.2
"""Of them across a picture."""
TILE = 5
"""Pixels of a tile's side, the dark joint on two sides of it included."""


def picture(style: Style, height: int, width: int, colours: int) -> Array:
    """The pattern as float32 [colours, height, width], 0 to 1; of one colour: its brightness."""
    painted = (_waves if style == "waves" else _mosaic)(height, width).transpose(2, 0, 1)
    return (painted if colours == len(painted) else painted.mean(axis=0, keepdims=True).repeat(colours, axis=0)).astype(
        np.float32
    )


def _waves(height: int, width: int) -> Array:
    """Bent stripes, which go from colour to colour, with fine lines along them as a brush leaves them: [height, width, 3]."""
    down, across = np.mgrid[:height, :width] / max(height, width)
    phase = 2 * np.pi * WAVES * (0.8 * across + 0.6 * down + 0.12 * np.sin(2 * np.pi * 1.5 * (down - 0.5 * across)))
    at = (0.5 + 0.5 * np.sin(phase)) * (len(COLOURS) - 1)
    share = (at % 1)[..., None]
    low = COLOURS[np.floor(at).astype(int)]
    high = COLOURS[np.minimum(np.floor(at).astype(int) + 1, len(COLOURS) - 1)]
    painted: Array = ((1 - share) * low + share * high + 0.12 * np.sin(4 * phase)[..., None]).clip(0, 1)
    return painted


def _mosaic(height: int, width: int) -> Array:
    """Tiles, each of one of the colours, with dark joints: [height, width, 3]."""
    down, across = np.mgrid[:height, :width]
    kind = np.random.default_rng(0).integers(1, len(COLOURS), (height // TILE + 1, width // TILE + 1))
    joint = (down % TILE == 0) | (across % TILE == 0)
    painted: Array = np.where(joint[..., None], COLOURS[0], COLOURS[kind[down // TILE, across // TILE]])
    return painted
