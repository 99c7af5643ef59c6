"""A generator is asked for classes with noise, and shown on its way from one picture to another."""

from __future__ import annotations

import numpy as np
import pytest

from models.tasks import _pictures, from_noise
from models.tasks.from_noise import STEPS, WAYS, FromNoise
from models.tasks.reconstruction import Reconstruction
from pipeline.core import Arrays, Predict

COMMON = {"data": "mnist", "input": "image", "dark": -1.0, "bright": 3.0, "classes": 10, "latent": 6}
TASK = FromNoise(generator="generator", **COMMON)  # type: ignore[arg-type]
BOTH = Reconstruction(**COMMON)  # type: ignore[arg-type]
LABELS = np.array([3, 0, 9])


def predictors(asked: list[Arrays]) -> dict[str, Predict]:
    def generate(inputs: Arrays) -> Arrays:
        asked.append(inputs)
        return {"pictures": np.zeros((len(inputs["latent"]), 1, 28, 28), np.float32)}

    def encode(inputs: Arrays) -> Arrays:
        asked.append(inputs)
        return {"mean": np.full((len(inputs["pictures"]), 6), 0.5), "log_variance": np.zeros((len(inputs["pictures"]), 6))}

    return {"generator": generate, "decoder": generate, "encoder": encode}


def test_the_class_is_asked_for_by_a_one_and_the_noise_is_drawn() -> None:
    asked: list[Arrays] = []
    TASK.made(predictors(asked), LABELS, np.random.default_rng(0))
    np.testing.assert_array_equal(asked[0]["kind"].argmax(axis=1), LABELS)
    assert asked[0]["kind"].sum() == 3 and set(np.unique(asked[0]["kind"])) == {0, 1}
    np.testing.assert_array_equal(asked[0]["latent"], np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32))
    assert {each.dtype for each in asked[0].values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("task", [TASK, BOTH], ids=["from_noise", "reconstruction"])
def test_a_way_within_a_class_changes_the_noise_alone_and_one_between_classes_the_class_alone(task: FromNoise) -> None:
    asked: list[Arrays] = []
    shown = task.examples(predictors(asked), {"image": np.zeros((2, 1, 28, 28), np.float32), "label": LABELS[:2]})
    within, across = ({name: each.reshape(WAYS, STEPS, -1) for name, each in inputs.items()} for inputs in asked[-2:])
    assert (np.ptp(within["kind"], axis=1) == 0).all() and (np.ptp(across["latent"], axis=1) == 0).all()
    assert (np.abs(np.diff(within["latent"], axis=1)).max(axis=(1, 2)) > 0).all()
    assert across["kind"][0, 0].argmax() == 0 and across["kind"][0, -1].argmax() == 1
    np.testing.assert_allclose(across["kind"].sum(axis=2), 1, rtol=1e-6)
    assert [example.given for example in shown[-2:]] == ["4 ways within a class", "4 ways from a class to the next"]


def test_a_way_keeps_the_length_of_noise() -> None:
    first, last = np.random.default_rng(0).standard_normal((2, 4, 1, 50))
    way = from_noise.between(first, last, np.linspace(0, 1, 11)[None, :, None])
    lengths = np.linalg.norm(way, axis=2)
    assert lengths.min() > 0.95 * min(lengths[:, 0].min(), lengths[:, -1].min())
    np.testing.assert_allclose(way[:, 0], first[:, 0])
    np.testing.assert_allclose(way[:, -1], last[:, 0])


def test_what_is_made_again_is_held_against_what_was_given() -> None:
    asked: list[Arrays] = []
    grey = {"image": np.full((4, 1, 28, 28), 1.0, np.float32), "label": np.array([1, 2, 3, 4])}  # half of the brightness
    evidence = BOTH.collect(predictors(asked), grey)
    np.testing.assert_allclose(evidence["error"], 0.25)
    np.testing.assert_array_equal(asked[0]["pictures"], np.full((4, 1, 28, 28), 0.5, np.float32))
    assert (asked[1]["latent"] == 0.5).all(), "the means are decoded, without noise"
    np.testing.assert_array_equal(asked[1]["kind"].argmax(axis=1), grey["label"])
    detail = next(each for each in BOTH.details(evidence) if each.metric == "reconstruction error")
    assert detail.value == pytest.approx(0.25)


def test_given_pictures_stand_beside_what_is_made_of_them() -> None:
    given = {"image": np.full((2, 1, 28, 28), 3.0, np.float32), "label": LABELS[:2]}
    pairs = [each for each in BOTH.examples(predictors([]), given) if each.given.startswith("data:")]
    bright, dark = (np.full((2, 1, 28, 28), value) for value in (1.0, 0.0))
    assert [(each.given, each.made) for each in pairs] == [(_pictures.sheet(bright, 2), _pictures.generated(dark, 2))]
