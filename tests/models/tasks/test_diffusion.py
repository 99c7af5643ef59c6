"""The way from noise to a picture: what a network that knows the answer is led to, and how often it is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.tasks.diffusion import STAGES, WAYS, Diffusion
from pipeline.core import Array, Arrays, Predict

LEVELS = 40
TASK = Diffusion(
    data="mnist",
    input="image",
    dark=-1.0,
    bright=3.0,
    classes=2,
    denoiser="denoiser",
    shape=(1, 28, 28),
    levels=LEVELS,
    steps=8,
    guidance=1.0,
)
ANSWERS = np.random.default_rng(0).uniform(-1, 3, (3, 1, 28, 28))
"""The only picture of each class, and of none."""


def knowing(asked: list[Arrays] | None = None, answers: Array = ANSWERS) -> dict[str, Predict]:
    """Its velocity leads from any noise to the answer for the label."""

    def denoise(inputs: Arrays) -> Arrays:
        if asked is not None:
            asked.append(inputs)
        angle = (inputs["level"] * np.pi / 2 / LEVELS)[:, None, None, None]
        picture = answers[inputs["label"]]
        noise = (inputs["noisy"] - np.cos(angle) * picture) / np.sin(angle)
        return {"velocity": np.cos(angle) * noise - np.sin(angle) * picture}

    return {"denoiser": denoise}


def made(task: Diffusion, predictors: dict[str, Predict], *labels: int) -> Array:
    return task.made(predictors, np.array(labels), np.random.default_rng(0))


@pytest.mark.parametrize("steps", [1, 7, LEVELS])
def test_whoever_knows_the_answer_is_led_to_it_in_any_number_of_steps(steps: int) -> None:
    found = made(replace(TASK, steps=steps), knowing(), 1, 0)
    np.testing.assert_allclose(found, (ANSWERS[[1, 0]] + 1) / 4, atol=1e-5)  # what float32 noise leaves


def test_each_step_is_one_call_for_all_and_begins_where_the_one_before_ended() -> None:
    asked: list[Arrays] = []
    made(TASK, knowing(asked), 1, 0)
    assert [inputs["level"].tolist() for inputs in asked] == [[level] * 2 for level in range(LEVELS, 0, -5)]
    assert all(inputs["label"].tolist() == [1, 0] for inputs in asked)
    for inputs in asked:
        angle = inputs["level"][0] * np.pi / 2 / LEVELS
        expected = np.cos(angle) * ANSWERS[[1, 0]] + np.sin(angle) * asked[0]["noisy"]
        np.testing.assert_allclose(inputs["noisy"], expected, atol=1e-5, err_msg="the noise stays the same on the whole way")


def test_the_variance_stays_the_same_on_the_whole_way() -> None:
    """As in training, where picture and noise both have variance 1: a network would not know what it is asked otherwise."""
    asked: list[Arrays] = []
    answers = np.random.default_rng(1).standard_normal((3, 1, 28, 28))
    made(replace(TASK, dark=-9.0, bright=9.0), knowing(asked, answers), *[0, 1] * 20)
    for inputs in asked:
        assert inputs["noisy"].var() == pytest.approx(1, abs=0.05)


def test_guidance_goes_on_from_no_class_through_the_wanted_one() -> None:
    asked: list[Arrays] = []
    near = ANSWERS.clip(0, 1)  # so that twice the difference stays between dark and bright
    short, long = (made(replace(TASK, guidance=each), knowing(answers=near), 1) for each in (1.0, 1 + 1e-9))
    np.testing.assert_allclose(long, short, atol=1e-5, err_msg="a guidance of 1 saves a call and changes nothing")
    found = made(replace(TASK, guidance=2.0), knowing(asked, near), 1)
    np.testing.assert_allclose(found, (2 * near[[1]] - near[[2]] + 1) / 4, atol=1e-5)
    assert [int(inputs["label"][0]) for inputs in asked] == [1, 2] * 8, "guidance costs a second call, for no class"


def test_pixels_are_cut_off_at_dark_and_bright_in_the_end_only() -> None:
    asked: list[Arrays] = []
    found = made(TASK, knowing(asked, np.full((3, 1, 28, 28), 50.0)), 0)
    assert found.max() == 1.0
    angle = asked[-1]["level"][0] * np.pi / 2 / LEVELS
    expected = np.cos(angle) * 50 + np.sin(angle) * asked[0]["noisy"]
    np.testing.assert_allclose(asked[-1]["noisy"], expected, rtol=1e-5, err_msg="what is cut off on the way adds up")


def test_everyone_is_asked_the_same_and_every_picture_begins_with_other_noise() -> None:
    samples = {"image": np.zeros((6, 1, 28, 28), np.float32), "label": np.array([0, 1, 0, 1, 0, 1])}
    ours: list[Arrays] = []
    theirs: list[Arrays] = []
    for asked in (ours, theirs):
        TASK.collect(knowing(asked), samples)
    np.testing.assert_array_equal(ours[0]["noisy"], theirs[0]["noisy"])
    assert len(np.unique(ours[0]["noisy"])) > 0.9 * ours[0]["noisy"].size
    assert ours[0]["label"].tolist() == [0, 0, 1, 1] * 3


def test_the_report_is_told_how_many_calls_make_a_picture() -> None:
    assert TASK.calls == 8 and replace(TASK, guidance=2.0).calls == 16


def test_the_way_is_shown_beside_the_classes() -> None:
    classes, ways = TASK.examples(knowing(), {})
    assert "2 classes" in classes.given
    assert ways.given == f"{WAYS} ways from noise: after step 1, 2, 3, 4, 5, 6, 7, 8 of 8", "no more than there are"
    longer = replace(TASK, steps=LEVELS).examples(knowing(), {})[1].given
    assert longer.count(",") == STAGES - 1 and f"{LEVELS} of {LEVELS}" in longer
