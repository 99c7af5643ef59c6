"""The scene is what its rays say: spheres that hide what is behind them, lit from one side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.data.spheres import CENTRES, COLOURS, FLOOR, LIGHT, RADII, Spheres, coloured


def seen(origin: list[float], to: list[float]) -> np.ndarray:
    direction = np.array(to) - origin
    return coloured(np.array([origin]), (direction / np.linalg.norm(direction))[None])[0]


def test_rays_into_nothing_are_white() -> None:
    assert seen([0, 0, 3], [0, 5, 9]).tolist() == [1, 1, 1]


def test_a_sphere_is_brightest_where_it_faces_the_light_and_dark_behind() -> None:
    for centre, radius, colour in zip(CENTRES, RADII, COLOURS, strict=True):
        lit = seen(list(centre + 2 * radius * LIGHT), list(centre))
        assert lit == pytest.approx(colour, abs=1e-5)
    behind = seen(list(CENTRES[0] - 1.2 * RADII[0] * LIGHT), list(CENTRES[0]))
    assert behind == pytest.approx(0.35 * COLOURS[0], abs=1e-5)


def test_the_floor_has_dark_tiles_and_shadows_and_an_edge() -> None:
    tiles = np.array([0.3, 0.9])
    assert sorted(float(seen([x, -0.1, 3], [x, -0.1, FLOOR])[0]) for x in (0.7, 0.9)) == pytest.approx(
        list(tiles * (0.35 + 0.65 * LIGHT[2]))
    )
    shadow = CENTRES[0] - LIGHT * (CENTRES[0][2] - FLOOR) / LIGHT[2]
    in_shadow = float(seen([*(6 * shadow[:2]), 0.6], [*shadow[:2], FLOOR])[0])
    assert min(abs(in_shadow - 0.35 * tiles)) < 1e-6
    assert seen([1.5, 0, 3], [1.5, 0, FLOOR]).tolist() == [1, 1, 1]


def test_views_are_from_different_places_and_always_the_same() -> None:
    data, again = (Spheres(side=8).load(Path("unused")) for _ in range(2))
    assert data.sha256 == again.sha256
    views = {split: set(arrays["view"].tolist()) for split, arrays in data.splits.items()}
    assert [len(each) for each in views.values()] == [60, 4, 10]
    places = np.unique(np.concatenate([arrays["origin"] for arrays in data.splits.values()]), axis=0)
    assert len(places) == 74
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + 9 * np.eye(74)
    assert apart.min() > 0.05
    assert places[:, 2].min() > FLOOR
