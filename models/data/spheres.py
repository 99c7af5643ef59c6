"""A scene that is computed: three spheres on a chequered floor, seen from all around."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, final

import numpy as np
from annotated_types import Ge, Le

from models.data._download import Download
from models.data._images import digest
from models.tasks._camera import rays
from pipeline.core import Array, Arrays, Dataset, Domain, TensorSpec

CENTRES = np.array([[0.0, 0.0, 0.1], [0.55, -0.35, -0.2], [-0.4, -0.6, -0.28]])
RADII = np.array([0.5, 0.2, 0.12])
COLOURS = np.array([[0.85, 0.25, 0.2], [0.2, 0.45, 0.85], [0.95, 0.8, 0.25]])
FLOOR, REACH, TILE = -0.4, 1.0, 0.25
"""Height, radius and tiles of the floor."""
LIGHT = np.array([0.5, -0.6, 0.8]) / np.linalg.norm([0.5, -0.6, 0.8])
AMBIENT = 0.35
VIEWS = {"train": 60, "validation": 4, "test": 10}
GOLDEN = 180 * (3 - 5**0.5)
"""Degrees between views that follow each other: no two ever come to lie together."""


@final
@dataclass(frozen=True)
class Spheres:
    """Rays of views of a scene: `origin`, `direction` and `colour` (0 to 1) float32 [N, 3], `view` int64 [N].

    60 views to train, 4 to validate, 10 to test, no two from the same place, all from above the floor. White where nothing is.
    Source: this file computes it: the nearest hit of each ray, Lambert's law and shadows.
    """

    side: Annotated[int, Ge(8), Le(256)] = 40
    """Pixels of a view's sides."""

    licence: ClassVar[str] = "Apache-2.0, as Edgepress itself"
    downloads: ClassVar[tuple[Download, ...]] = ()

    def files(self, root: Path) -> list[Path]:
        """This file, which is all that there is."""
        return [Path(__file__)]

    def load(self, root: Path) -> Dataset:
        """Computes all views."""
        splits, first = dict[str, Arrays](), 0
        for split, count in VIEWS.items():
            splits[split] = _views(range(first, first + count), self.side)
            first += count
        inputs = {name: TensorSpec((1, 3)) for name in ("origin", "direction")}
        domain = Domain("spheres", inputs, targets={"colour": TensorSpec((1, 3)), "view": TensorSpec((1,), "int64")})
        return Dataset(domain, splits, digest(splits["train"]))


def _views(numbers: range, side: int) -> Arrays:
    parts = []
    for number in numbers:
        elevation = 12 + 50 * (number * 0.618 % 1)
        origin, direction = rays(number * GOLDEN % 360, elevation, side)
        view = np.full(len(origin), number)
        parts.append({"origin": origin, "direction": direction, "colour": coloured(origin, direction), "view": view})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def coloured(origin: Array, direction: Array) -> Array:
    """What the rays [N, 3] see: float32 [N, 3]."""
    origin, direction = origin.astype(np.float64), direction.astype(np.float64)
    near, what = _hit(origin, direction)
    seen = np.ones_like(origin)
    hit = np.isfinite(near)
    place = origin[hit] + near[hit, None] * direction[hit]
    which = what[hit]
    floor = which == len(RADII)
    normal = np.where(floor[:, None], [0.0, 0.0, 1.0], place - np.vstack([CENTRES, np.zeros(3)])[which])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    dark = (np.floor(place[:, 0] / TILE) + np.floor(place[:, 1] / TILE)) % 2 == 1
    colour = np.where(floor[:, None], np.where(dark, 0.3, 0.9)[:, None], np.vstack([COLOURS, np.ones(3)])[which])
    lit = np.isinf(_hit(place + 1e-6 * normal, np.broadcast_to(LIGHT, place.shape))[0])
    seen[hit] = colour * (AMBIENT + (1 - AMBIENT) * lit * np.clip(normal @ LIGHT, 0, None))[:, None]
    return seen.astype(np.float32)


def _hit(origin: Array, direction: Array) -> tuple[Array, Array]:
    """How far each ray goes to the nearest thing (infinite: it hits none), and which it is; the floor comes after the spheres."""
    found = np.full((len(origin), len(RADII) + 1), np.inf)
    for number, (centre, radius) in enumerate(zip(CENTRES, RADII, strict=True)):
        away = origin - centre
        along = (away * direction).sum(axis=1)
        under = along**2 - (away**2).sum(axis=1) + radius**2
        nearer = -along - np.sqrt(np.maximum(under, 0))
        found[:, number] = np.where((under > 0) & (nearer > 0), nearer, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = (FLOOR - origin[:, 2]) / direction[:, 2]
        place = origin + far[:, None] * direction
        inside = (far > 0) & (place[:, 0] ** 2 + place[:, 1] ** 2 < REACH**2)
    found[:, -1] = np.where(inside, far, np.inf)
    return found.min(axis=1), found.argmin(axis=1)
