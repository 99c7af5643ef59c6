"""Codes are judged by closed forms: errors in brightness, use of the codebook, bits under a prior that is known."""

from __future__ import annotations

import numpy as np
import pytest

from models.tasks.codes import Codes, drawn
from pipeline.core import Array, Arrays, Predict

TASK = Codes("image", codes=8, classes=3, dark=-1.0, bright=3.0)


def predictors(codes: Array, made: Array, logits: Array) -> dict[str, Predict]:
    """Whose answers are the same for every picture."""

    def answer(name: str, value: Array, given: str) -> Predict:
        return lambda inputs: {name: np.broadcast_to(value, (len(inputs[given]), *value.shape))}

    return {
        "encoder": answer("codes", codes, "image"),
        "decoder": answer("image", made, "codes"),
        "prior": answer("logits", logits, "codes"),
    }


def samples(n: int = 4, value: float = 1.0) -> Arrays:
    return {"image": np.full((n, 1, 4, 4), value, np.float32), "label": np.arange(n, dtype=np.int64) % 3}


def test_the_error_is_that_of_the_brightness_that_a_screen_shows() -> None:
    codes, even = np.zeros((2, 2), np.int64), np.zeros((8, 2, 2))
    half = TASK.collect(predictors(codes, np.full((1, 4, 4), 1.4), even), samples())
    assert half["error"] == pytest.approx([0.01] * 4), "0.4 of 4 is a tenth"
    assert TASK.value(half) == pytest.approx(0.01)
    above = TASK.collect(predictors(codes, np.full((1, 4, 4), 9.0), even), samples(value=3.0))
    assert above["error"].tolist() == [0.0] * 4, "no pixel is brighter than the brightest"
    delta, low, high = TASK.difference(above, half)
    assert delta == pytest.approx(0.01) and low <= delta <= high, "less error is better"


def test_bits_are_those_of_the_code_at_its_place() -> None:
    codes = np.array([[0, 1], [2, 7]])
    even = TASK.collect(predictors(codes, np.zeros((1, 4, 4)), np.zeros((8, 2, 2))), samples())
    assert even["bits"] == pytest.approx([4 * 3] * 4), "8 codes alike are 3 bits each"
    sure = np.where(np.arange(8)[:, None, None] == codes, 50.0, 0.0)
    assert TASK.collect(predictors(codes, np.zeros((1, 4, 4)), sure), samples())["bits"] == pytest.approx([0] * 4, abs=1e-9)
    wrong = TASK.collect(predictors(codes.T, np.zeros((1, 4, 4)), sure), samples())
    assert wrong["bits"] == pytest.approx([2 * 50 / np.log(2)] * 4), "two of the four are in the other's place"


def test_the_prior_is_asked_with_the_codes_and_the_label() -> None:
    asked: list[Arrays] = []
    answers = predictors(np.zeros((2, 2), np.int32), np.zeros((1, 4, 4)), np.zeros((8, 2, 2)))

    def prior(inputs: Arrays) -> Arrays:
        asked.append(inputs)
        return answers["prior"](inputs)

    TASK.collect({**answers, "prior": prior}, samples())
    assert asked[0]["codes"].dtype == asked[0]["label"].dtype == np.int64, "whatever a runtime's integers are"
    assert asked[0]["label"].tolist() == [0, 1, 2, 0]


def test_use_and_perplexity_are_those_of_all_pictures() -> None:
    evidence = {"error": np.zeros(2), "bits": np.full(2, 5.0), "codes": np.array([[0, 1, 2, 3], [0, 1, 2, 3]])}
    used, perplexity, bits, all_bits = (detail.value for detail in TASK.details(evidence))
    assert (used, perplexity, bits, all_bits) == pytest.approx((0.5, 4.0, 5.0, 12.0))
    uneven = {**evidence, "codes": np.array([[0, 0, 0, 0], [0, 0, 0, 1]])}
    used, perplexity, *_ = (detail.value for detail in TASK.details(uneven))
    assert used == 0.25 and 1 < perplexity < 2, "a code that hardly comes counts less"


def test_codes_are_drawn_by_their_chance_given_those_that_were_drawn() -> None:
    def follows(inputs: Arrays) -> Arrays:
        """The first code is the label or the one after it, evenly; each other one is one more than that before it."""
        flat = inputs["codes"].reshape(len(inputs["codes"]), -1)
        logits = np.full((*flat.shape, 8), -100.0)
        np.put_along_axis(logits[:, 0], np.stack([inputs["label"], inputs["label"] + 1], axis=1), 0.0, axis=1)
        for place in range(1, flat.shape[1]):
            np.put_along_axis(logits[:, place], ((flat[:, place - 1] + 1) % 8)[:, None], 0.0, axis=1)
        return {"logits": np.moveaxis(logits.reshape(len(flat), 2, 3, 8), -1, 1)}

    labels = np.arange(300) % 3
    found = drawn(follows, labels, (2, 3), np.random.default_rng(0)).reshape(300, 6)
    assert found[:, 1:].tolist() == ((found[:, :1] + np.arange(1, 6)) % 8).tolist()
    assert set((found[:, 0] - labels).tolist()) == {0, 1}
    assert (found[:, 0] - labels).mean() == pytest.approx(0.5, abs=0.1)


def test_examples_are_given_and_made_and_a_column_of_each_class() -> None:
    answers = predictors(np.zeros((2, 2), np.int64), np.zeros((1, 4, 4)), np.zeros((8, 2, 2)))
    again, new = TASK.examples(answers, samples(2))
    assert again.given.startswith("data:image/png") and again.made.startswith("data:image/png")
    assert "3 classes" in new.given and new.made.startswith("data:image/png")
