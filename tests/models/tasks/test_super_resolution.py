"""Enlarged pictures are judged by closed forms, beside what cubic interpolation gives for nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.tasks._resampling import matrix, resized
from models.tasks.super_resolution import SuperResolution

TASK = SuperResolution("enlarger", "image", scale=2, dark=-1.0, bright=3.0)
PICTURES = np.random.default_rng(0).uniform(-1, 3, (4, 3, 8, 8)).astype(np.float32)


def judged(made: np.ndarray) -> dict[str, np.ndarray]:
    return TASK.collect({"enlarger": lambda inputs: {"enlarged": made}}, {"image": PICTURES})


@pytest.mark.parametrize(("before", "after"), [(8, 4), (32, 16), (9, 4), (16, 32), (5, 13)])
def test_pictures_are_resized_as_a_well_known_library_does_it(before: int, after: int) -> None:
    picture = np.random.default_rng(before).random((before, before + 3)).astype(np.float32)
    theirs = np.asarray(Image.fromarray(picture).resize((after + 1, after), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(resized(picture[None, None], after, after + 1)[0, 0], theirs, atol=1e-5)


@given(before=st.integers(1, 40), after=st.integers(1, 40))
def test_resizing_changes_no_brightness(before: int, after: int) -> None:
    np.testing.assert_allclose(matrix(before, after).sum(axis=1), 1)


def test_the_ratio_is_that_of_the_mean_squared_error_in_brightness() -> None:
    grey = np.where(PICTURES > 1, PICTURES - 0.4, PICTURES + 0.4)  # a tenth of the brightness
    assert judged(grey.astype(np.float32))["psnr"] == pytest.approx([20.0] * 4, abs=1e-4)
    assert judged(PICTURES)["psnr"] == pytest.approx([100.0] * 4)


def test_the_network_sees_the_small_picture_alone() -> None:
    asked = []

    def enlarge(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        asked.append(inputs)
        return {"enlarged": PICTURES}

    TASK.collect({"enlarger": enlarge}, {"image": PICTURES, "label": np.zeros(4)})
    (inputs,) = asked
    assert set(inputs) == {"image"} and inputs["image"].shape == (4, 3, 4, 4) and inputs["image"].dtype == np.float32


def test_what_interpolation_makes_gains_nothing_and_is_blurred() -> None:
    evidence = judged(resized(resized(PICTURES, 4, 4), 8, 8))
    gain, free, sharp = TASK.details(evidence)
    assert gain.value == 0 == gain.low == gain.high
    assert free.value == pytest.approx(TASK.value(evidence))
    assert sharp.value < 0.7
    assert TASK.details(judged(PICTURES))[2].value == pytest.approx(1)
