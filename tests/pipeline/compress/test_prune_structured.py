"""Structured pruning meets its budget, couples what belongs together and keeps the classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import facts, train
from pipeline.compress.prune_structured import PruneStructured, _cut
from pipeline.core import Context, Domain, Model, Spec, Technique, TensorSpec, Train

Build = Callable[..., Model]
IMAGES = Domain("images", {"image": TensorSpec((1, 1, 12, 12))}, 10)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(["mlp", "lenet5", "gru_classifier"]), st.floats(0.05, 0.9))
def test_at_most_the_budget_is_left_and_the_rest_runs(name: str, sparsity: float) -> None:
    torch.manual_seed(0)
    family = Spec("model", name).build()
    module = family.build(IMAGES)
    before = facts.measure(family.graphs(module, IMAGES)).macs
    _cut(module, family, IMAGES, (1 - sparsity) * before)
    after = facts.measure(family.graphs(module, IMAGES)).macs
    assert after <= (1 - sparsity) * before
    assert module(torch.zeros(2, 1, 12, 12)).shape == (2, 10)


@pytest.mark.parametrize("name", ["mlp", "lenet5", "gru_classifier"])
def test_replaying_the_record_makes_the_same_shapes(name: str) -> None:
    torch.manual_seed(0)
    family = Spec("model", name).build()
    module, fresh = family.build(IMAGES), family.build(IMAGES)
    for kept in (0.8, 0.5):
        record = _cut(module, family, IMAGES, kept * facts.measure(family.graphs(module, IMAGES)).macs)
        PruneStructured().replay(fresh, record, IMAGES)
    assert [p.shape for p in fresh.parameters()] == [p.shape for p in module.parameters()]


def test_the_weakest_units_go_first() -> None:
    torch.manual_seed(0)
    family = Spec("model", "mlp", {"hidden": [8]}).build()
    module = family.build(IMAGES)
    with torch.no_grad():
        module[1].weight[[2, 5]] *= 1e-3
        module[3].weight[:, [2, 5]] *= 1e-3
    record = _cut(module, family, IMAGES, 0.76 * facts.measure(family.graphs(module, IMAGES)).macs)
    gone = {index for name, output, indices in record["removed"] if name == "1" and output for index in indices}
    assert len(gone) == 2
    assert module[1].weight.abs().amin() > 1e-6


def test_pruning_a_trained_network_keeps_most_of_its_quality(untrained: Build, context: Context, tmp_path: Path) -> None:
    model = untrained("mlp")
    before = train.fit(model.module, model.family.build(), Train(epochs=6, batch=32), replace(context, scratch=tmp_path / "a"))
    pruned = PruneStructured(sparsity=0.6, rounds=2, epochs=4).apply(model, replace(context, scratch=tmp_path / "b"))
    after = train._validate(pruned.module, pruned.family.build(), context)
    assert pruned.facts.macs <= 0.4 * model.facts.macs
    assert after > before["accuracy"] - 0.1


def test_a_killed_step_skips_the_rounds_that_were_done(goes_on: Callable[[Technique], list[float]]) -> None:
    assert min(goes_on(PruneStructured(sparsity=0.5, rounds=2, epochs=4))) >= 1.0
