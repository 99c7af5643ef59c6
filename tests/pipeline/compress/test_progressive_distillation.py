"""Fewer steps: each halving is taught by the one before, and what comes out of few is what came out of many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import facts, train
from pipeline.compress.progressive_distillation import ProgressiveDistillation
from pipeline.core import Array, Context, Dataset, Domain, Model, Outlook, Spec, Train, Unsupported
from pipeline.errors import UserError
from pipeline.evaluate import module_predictors

TINY = {"channels": [4, 8], "blocks": 1, "steps": 8}


@pytest.fixture
def digits(synthetic_data: Path) -> Dataset:
    whole: Dataset = Spec("data", "mnist").build().load(synthetic_data)
    few = {split: {name: array[:64] for name, array in arrays.items()} for split, arrays in whole.splits.items()}
    return replace(whole, splits=few)


@pytest.fixture
def lesson(context: Context, digits: Dataset) -> Context:
    return replace(context, data=digits, train=Train(epochs=6, batch=32, learning_rate=3e-3, augment=False))


def teacher(data: Dataset, **options: float) -> Model:
    spec = Spec("model", "diffusion_unet", {**TINY, **options})
    torch.manual_seed(0)
    family = spec.build()
    module = family.build(data.domain)
    for parameter in module.parameters():  # an untrained one says nothing that could be learnt
        torch.nn.init.normal_(parameter, std=0.15)
    return Model(spec, data.domain, module.eval(), facts.measure(family.graphs(module, data.domain)))


def pictures(model: Model, domain: Domain) -> Array:
    family = model.family.build()
    labels = np.arange(20) % 10
    found: Array = family.task(domain).made(
        module_predictors(family.graphs(model.module, domain)), labels, np.random.default_rng(0)
    )
    return found


def test_few_steps_lead_where_many_did(lesson: Context) -> None:
    many = teacher(lesson.data)
    own = replace(lesson, reference=many)
    few = ProgressiveDistillation(steps=2, epochs=25).apply(many, own)
    untaught = replace(many, family=few.family)
    wanted, taught, before = (pictures(each, lesson.data.domain) for each in (many, few, untaught))
    assert np.square(taught - wanted).mean() < 0.5 * np.square(before - wanted).mean()


def test_steps_are_halved_until_they_are_few(lesson: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(
        "pipeline.compress.progressive_distillation.tuned",
        lambda module, family, options, context, loss: seen.append((loss.keywords["theirs"].steps, family.steps)),
    )
    own = replace(lesson, reference=teacher(lesson.data, steps=50))
    made = ProgressiveDistillation(steps=4).apply(own.reference, own)
    assert seen == [(50, 16), (16, 8), (8, 4)]
    assert made.family.options["steps"] == 4
    seen.clear()
    ProgressiveDistillation(steps=30).apply(own.reference, own)
    assert seen == [(50, 30)]


def test_guidance_is_learnt_and_needs_no_second_call_afterwards(lesson: Context) -> None:
    many = teacher(lesson.data, guidance=3.0)
    few = ProgressiveDistillation(steps=4, epochs=1).apply(many, replace(lesson, reference=many))
    calls = [model.family.build().task(lesson.data.domain) for model in (many, few)]
    assert [(task.steps, task.guidance) for task in calls] == [(8, 3.0), (4, 1.0)]


def test_a_killed_one_goes_on_with_the_halving_that_it_was_at(
    lesson: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    step, many, seen = ProgressiveDistillation(steps=2, epochs=2), teacher(lesson.data), list[float]()
    own = replace(lesson, reference=many)

    def kill(done: float, total: float, what: str = "") -> None:
        if done >= 3:
            raise KeyboardInterrupt

    whole = step.apply(many, replace(own, scratch=tmp_path / "whole"))
    broken = replace(own, scratch=tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        step.apply(many, replace(broken, progress=kill))
    resumed = step.apply(many, replace(broken, progress=lambda done, total, what="": seen.append(done)))
    assert min(seen) == 3, "the first halving and an epoch of the second were kept"
    assert all(torch.equal(a, b) for a, b in zip(resumed.module.parameters(), whole.module.parameters(), strict=True))


def test_what_has_no_steps_or_too_few_is_refused_before_any_work(
    digits: Dataset, untrained: Callable[..., Model], context: Context
) -> None:
    for steps, family, words in (
        (4, Spec("model", "mlp"), "progressive_distillation: mlp makes nothing in steps"),
        (8, Spec("model", "diffusion_unet", TINY), "steps = 8; diffusion_unet makes what it makes in 8, and fewer are wanted"),
    ):
        step = ProgressiveDistillation(steps=steps)
        with pytest.raises(UserError, match=words):
            step.check(Outlook(family, {}, lambda: digits.domain))
        assert step.family(Spec("model", "mlp")) == Spec("model", "mlp")
    with pytest.raises(Unsupported, match="mlp makes nothing in steps"):
        ProgressiveDistillation().apply(untrained(), context)
