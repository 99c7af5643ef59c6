"""Distillation: the loss is Hinton's, and a student follows its teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from pipeline import train
from pipeline.compress.distill import Distill
from pipeline.core import Context, Model, Spec, Train

Build = Callable[..., Model]


def test_the_loss_is_that_of_the_paper(untrained: Build, context: Context) -> None:
    teacher, student = untrained(seed=1), untrained(seed=2)
    step = Distill(temperature=3.0, weight=0.25)
    batch = {"image": torch.randn(5, 1, 8, 8), "label": torch.arange(5)}
    found = step.loss(student.family.build(), replace(context, reference=teacher))(student.module, batch)
    p = functional.softmax(teacher.module(batch["image"]) / 3, 1)
    q = functional.softmax(student.module(batch["image"]) / 3, 1)
    soft = (p * (p / q).log()).sum(1).mean()
    hard = functional.cross_entropy(student.module(batch["image"]), batch["label"])
    assert found.item() == pytest.approx((0.25 * 9 * soft + 0.75 * hard).item(), rel=1e-5)


def test_a_student_is_the_same_family_with_its_own_options(untrained: Build, context: Context) -> None:
    student = Distill(student={"width": 0.5}, epochs=1).apply(untrained(), context)
    assert student.family == Spec("model", "mlp", {"width": 0.5})
    assert student.module[1].out_features == 150
    assert student.surgery == ()


def test_a_student_agrees_with_its_teacher_where_labels_say_nothing(untrained: Build, context: Context, tmp_path: Path) -> None:
    teacher = untrained()
    train.fit(teacher.module, teacher.family.build(), Train(epochs=6, batch=32), replace(context, scratch=tmp_path / "t"))
    step = Distill(student={"hidden": [32]}, weight=1.0, epochs=8)
    student = step.apply(untrained(), replace(context, reference=teacher, scratch=tmp_path / "s"))
    image = torch.from_numpy(context.data.splits["test"]["image"])
    with torch.no_grad():
        agreement = (student.module(image).argmax(1) == teacher.module(image).argmax(1)).float().mean()
    assert agreement > 0.85


def test_the_teacher_is_not_trained(untrained: Build, context: Context) -> None:
    teacher = untrained()
    before = [parameter.clone() for parameter in teacher.module.parameters()]
    Distill(student={"width": 0.5}, epochs=1).apply(untrained(), replace(context, reference=teacher))
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.module.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in teacher.module.parameters())
