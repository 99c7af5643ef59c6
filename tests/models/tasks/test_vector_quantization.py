"""The distance is the judge's own, and touching units are told from units apart."""

from __future__ import annotations

import numpy as np
import pytest

from models.tasks.vector_quantization import VectorQuantization

TASK = VectorQuantization("map", "image", rows=3, columns=4)


def collected(unit: list[int], second: list[int], prototype: np.ndarray, image: np.ndarray) -> dict[str, np.ndarray]:
    said = {"unit": np.array(unit), "second": np.array(second), "prototype": prototype}
    return TASK.collect({"map": lambda inputs: said}, {"image": image, "label": np.zeros(len(image), int)})


def test_distance_is_euclidean_to_what_the_file_says() -> None:
    image = np.array([[[[3.0, 0.0]]], [[[0.0, 0.0]]]], np.float32)
    found = collected([0, 1], [1, 0], np.array([[0.0, 4.0], [0.0, 0.0]], np.float32), image)
    assert found["distance"].tolist() == [5.0, 0.0]
    assert TASK.value(found) == 2.5


@pytest.mark.parametrize(
    ("unit", "second", "apart"),
    [(0, 1, False), (0, 4, False), (0, 5, False), (5, 10, False), (0, 2, True), (3, 4, True), (0, 8, True), (7, 4, True)],
)
def test_units_touch_by_sides_and_corners_but_not_around_the_edge(unit: int, second: int, apart: bool) -> None:
    found = collected([unit], [second], np.zeros((1, 2)), np.zeros((1, 1, 1, 2)))
    assert found["apart"].tolist() == [apart]


def test_topographic_error_is_a_fraction_with_an_interval() -> None:
    evidence = {"distance": np.ones(10), "apart": np.arange(10) < 3}
    (detail,) = TASK.details(evidence)
    assert (detail.metric, detail.value) == ("topographic_error", 0.3)
    assert detail.low is not None
    assert detail.high is not None
    assert detail.low < 0.3 < detail.high


def test_farther_prototypes_are_a_negative_difference() -> None:
    near, far = ({"distance": np.arange(6) + shift, "apart": np.zeros(6, bool)} for shift in (0.0, 0.5))
    assert TASK.difference(far, near) == pytest.approx((-0.5, -0.5, -0.5))
