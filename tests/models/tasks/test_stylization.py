"""Stylized pictures are judged against the given ones: nothing done is 1, the style itself is 0."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import _style
from models._eye import eye
from models.tasks import _pictures
from models.tasks.stylization import SHOWN, Stylization
from pipeline.core import Array, Arrays

DARK, BRIGHT = -1.9, 2.1
TASK = Stylization("stylizer", "cifar10", "waves", "image", DARK, BRIGHT)
PICTURES = np.random.default_rng(0).uniform(DARK, BRIGHT, (6, 3, 32, 32)).astype(np.float32)
PAINTED = DARK + (BRIGHT - DARK) * _style.picture("waves", 32, 32, 3)


def judged(made: Array) -> Arrays:
    return TASK.collect({"stylizer": lambda inputs: {"stylized": made}}, {"image": PICTURES})


def mixed(share: float) -> Array:
    return (1 - share) * PICTURES + share * PAINTED


def test_nothing_done_is_one_and_the_style_itself_is_nearly_none() -> None:
    assert TASK.value(judged(PICTURES)) == 1
    assert TASK.value(judged(mixed(1.0))) < 0.08, "what is left is how its windows differ from it"
    half = judged(mixed(0.5))
    low, high = TASK.interval(half)
    assert 0 < low <= TASK.value(half) <= high < 1
    delta, low, high = TASK.difference(half, judged(PICTURES))
    assert delta > 0 and low <= delta <= high, "less is better"


def test_evidence_is_what_a_screen_shows() -> None:
    evidence = judged(np.where(PICTURES > 0, 9.0, -9.0))
    assert evidence["made"].dtype == evidence["given"].dtype == np.uint8
    assert set(np.unique(evidence["made"]).tolist()) == {0, 255}
    assert judged(np.full_like(PICTURES, np.nan))["made"].max() == 0
    np.testing.assert_allclose(evidence["given"] / 255 * (BRIGHT - DARK) + DARK, PICTURES, atol=0.01)


def test_the_classifier_agrees_where_it_sees_what_it_saw() -> None:
    same, moved, before = TASK.details(judged(PICTURES))
    assert (same.value, same.high) == (1.0, 1.0) and moved.value == 0
    _, far, again = TASK.details(judged(mixed(1.0)))
    assert far.value > 0.1 and again.value == pytest.approx(before.value), "the given pictures' loss is no merit of the network"
    evidence = judged(np.concatenate([mixed(1.0)[:3], PICTURES[3:]]))
    made, given = (torch.from_numpy(evidence[name]).float() / 255 * (BRIGHT - DARK) + DARK for name in ("made", "given"))
    alike = eye("cifar10").logits(made).argmax(1) == eye("cifar10").logits(given).argmax(1)
    assert not alike.all(), "or this would show nothing"
    agreed, *_ = TASK.details(evidence)
    assert agreed.value == float(alike.float().mean()) and agreed.low is not None and agreed.low < agreed.value


def test_examples_show_what_was_given_and_made() -> None:
    (example,) = TASK.examples({"stylizer": lambda inputs: {"stylized": inputs["image"]}}, {"image": PICTURES})
    given = (PICTURES - TASK.dark) / (TASK.bright - TASK.dark)
    assert example.given == _pictures.sheet(np.round(255 * given) / 255, len(given), SHOWN)
    assert example.made == _pictures.generated(np.round(255 * given) / 255, len(given), SHOWN)
