"""Rays are summed as light is, and views are judged as a person sees them: as wholes."""

from __future__ import annotations

import numpy as np
import pytest

from models.tasks._camera import DISTANCE, FIELD, rays
from models.tasks.rendering import Rendering

TASK = Rendering("field", near=1.0, far=3.0, samples=40)


def rendered(density: np.ndarray, colour: np.ndarray, task: Rendering = TASK) -> np.ndarray:
    """One ray along x from the origin through what is at each of its places."""

    def field(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert inputs["points"].shape == (1, task.samples, 3)
        return {"density": density[None], "colour": colour[None]}

    return task.rendered({"field": field}, np.zeros((1, 3), np.float32), np.array([[1, 0, 0]], np.float32))[0]


def test_where_nothing_is_white_is_seen() -> None:
    assert rendered(np.zeros(40), np.zeros((40, 3))).tolist() == [1, 1, 1]


def test_a_wall_hides_what_is_behind_it() -> None:
    density, colour = np.zeros(40), np.zeros((40, 3))
    density[[10, 30]], colour[10], colour[30] = 1e6, (1, 0, 0), (0, 1, 0)
    assert rendered(density, colour) == pytest.approx([1, 0, 0])


def test_fog_takes_light_away_as_an_exponential_of_its_depth() -> None:
    grey = rendered(np.full(40, 0.7), np.zeros((40, 3)))
    assert grey == pytest.approx([np.exp(-0.7 * 2)] * 3)


def test_places_lie_in_the_middle_of_equal_parts() -> None:
    asked = []

    def field(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        asked.append(inputs["points"])
        return {"density": np.zeros((2, 4)), "colour": np.zeros((2, 4, 3))}

    origin = np.array([[0, 0, 0], [0, 5, 0]], np.float32)
    Rendering("field", 1.0, 3.0, 4).rendered({"field": field}, origin, np.array([[1, 0, 0], [0, 0, 1]], np.float32))
    assert asked[0][0, :, 0].tolist() == [1.25, 1.75, 2.25, 2.75]
    assert asked[0][1].tolist() == [[0, 5, 1.25], [0, 5, 1.75], [0, 5, 2.25], [0, 5, 2.75]]


def test_the_metric_is_the_mean_of_the_views_ratios_and_their_number_is_what_makes_it_sure() -> None:
    few = {"squared": np.array([0.1, 0.1, 0.001, 0.001]), "view": np.array([7, 7, 9, 9])}
    assert TASK.value(few) == pytest.approx(20)  # of 10 and 30 dB
    assert TASK.details(few)[0].value == pytest.approx(10)
    many = {name: np.concatenate([array, array]) for name, array in few.items()}
    assert TASK.interval(many) == pytest.approx(TASK.interval(few)), "more rays of the same views tell nothing new"
    better = {**few, "squared": few["squared"] / 10}
    assert TASK.difference(better, few) == pytest.approx((10, 10, 10))


def test_a_camera_looks_at_the_middle_with_up_above() -> None:
    origin, direction = rays(azimuth=0, elevation=0, side=3)
    assert origin[4] == pytest.approx([DISTANCE, 0, 0]) and direction[4] == pytest.approx([-1, 0, 0])
    assert direction[1][2] > 0 > direction[7][2], "the first row is the upper one"
    assert direction[5][1] > 0 > direction[3][1], "the last column is the right one, where y grows from there"
    assert np.linalg.norm(direction, axis=1) == pytest.approx(np.ones(9))
    wide = rays(0, 0, 1001)[1].reshape(1001, 1001, 3)[500]
    assert np.degrees(np.arccos(wide[0] @ wide[-1])) == pytest.approx(FIELD, abs=0.1)
