"""Whoever judges made pictures sees what is wrong with them: blur, a missing class, the wrong class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import zoom

from models._eye import eye
from models.tasks._generated import Generated
from pipeline.core import Array, Arrays, Dataset, Domain, Predict, Spec, TensorSpec
from pipeline.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Copied(Generated):
    """Gives the training split's pictures back, spoilt in ways that it is told."""

    noise: float = 0.0
    turned: int = 0
    only: int | None = None

    def made(self, predictors: Mapping[str, Predict], labels: Array, random: np.random.Generator) -> Array:
        wanted = (labels + self.turned) % self.classes if self.only is None else np.full_like(labels, self.only)
        return predictors["pool"]({"label": wanted, "draw": random.random(len(labels))})["picture"] + self.noise * random.random(
            (len(labels), 1, 28, 28)
        )


@pytest.fixture(scope="module")
def data() -> Dataset:
    """scikit-learn's digits, as large and as bright as MNIST's, so that its eye knows them."""
    mnist = (-0.4242, 2.8215)
    small: Dataset = Spec("data", "digits").build().load(Path())
    splits = {name: small.batch(name, slice(None)) for name in small.splits}
    dark, bright = small.domain.pixels or (0.0, 1.0)
    for split in splits.values():
        large = zoom((split["image"] - dark) / (bright - dark), (1, 1, 2.5, 2.5), order=1)
        padded = np.pad(large, [(0, 0), (0, 0), (4, 4), (4, 4)]).astype(np.float32)
        split["image"] = padded * (mnist[1] - mnist[0]) + mnist[0]
    return Dataset(Domain("mnist", {"image": TensorSpec((1, 1, 28, 28))}, 10, pixels=mnist), splits, "")


def brightness(data: Dataset, pictures: Array) -> Array:
    dark, bright = data.domain.pixels or (0.0, 1.0)
    return (pictures - dark) / (bright - dark)


@pytest.fixture(scope="module")
def pool(data: Dataset) -> dict[str, Predict]:
    given = data.batch("train", slice(None))

    def draw(inputs: Arrays) -> Arrays:
        of = [np.flatnonzero(given["label"] == label) for label in inputs["label"]]
        rows = [each[int(at * len(each))] for each, at in zip(of, inputs["draw"], strict=True)]
        return {"picture": brightness(data, given["image"][rows])}

    return {"pool": draw}


def judge(data: Dataset, **options: float) -> Copied:
    dark, bright = data.domain.pixels or (0.0, 1.0)
    return Copied(data="mnist", input="image", dark=dark, bright=bright, classes=10, **options)  # type: ignore[arg-type]


def found(data: Dataset, pool: dict[str, Predict], **options: float) -> tuple[Copied, Arrays]:
    task = judge(data, **options)
    return task, task.collect(pool, data.batch("test", slice(None)))


def test_pictures_of_the_same_kind_are_nearer_than_spoilt_ones(data: Dataset, pool: dict[str, Predict]) -> None:
    task, copies = found(data, pool)
    _, noisy = found(data, pool, noise=0.8)
    delta, low, high = task.difference(noisy, copies)
    assert delta < 0 and high < 0 and low <= delta, "spoilt pictures are worse, and surely so"
    assert task.difference(copies, copies) == (0, 0, 0)
    low, high = task.interval(copies)
    assert low <= task.value(copies) <= high


def test_it_says_when_the_class_is_not_the_one_asked_for(data: Dataset, pool: dict[str, Predict]) -> None:
    right, wrong = (
        {detail.metric: detail.value for detail in task.details(evidence)}
        for task, evidence in (found(data, pool), found(data, pool, turned=1))
    )
    name = "agreement with the class asked for"
    assert right[name] > wrong[name] + 0.3


def test_one_class_alone_has_little_recall(data: Dataset, pool: dict[str, Predict]) -> None:
    whole, part = (
        {detail.metric: detail.value for detail in task.details(evidence)}
        for task, evidence in (found(data, pool), found(data, pool, only=3))
    )
    assert part["recall of the pictures"] < whole["recall of the pictures"]
    assert whole["floor of the distance (real from real)"] < whole["ceiling of the distance (noise)"]


def test_a_slow_maker_is_asked_for_fewer(data: Dataset, pool: dict[str, Predict]) -> None:
    task, evidence = found(data, pool, every=4, each=1)
    assert evidence["asked"].sum() == -(-len(evidence["asked"]) // 4)
    assert np.isfinite(task.value(evidence))


def test_what_they_teach_is_asked_of_real_ones(data: Dataset, pool: dict[str, Predict]) -> None:
    task, evidence = found(data, pool, each=20)
    (taught,) = (detail for detail in task.details(evidence) if "taught" in detail.metric)
    assert taught.low is not None and taught.high is not None and taught.low <= taught.value <= taught.high
    assert taught.value > 0.8, "copies of the training split teach what it teaches"


def test_no_eye_is_an_error_that_says_how_to_make_one() -> None:
    with pytest.raises(UserError, match=r"maps: no eye .* fashion_mnist, mnist; python -m pipeline\.bench\.eyes maps makes one"):
        eye("maps")
