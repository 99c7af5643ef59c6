"""Multiply-accumulates are those of the textbook."""

from __future__ import annotations

from collections.abc import Callable

from pipeline import facts
from pipeline.core import Model


def test_a_multilayer_perceptron(untrained: Callable[..., Model]) -> None:
    found = untrained("mlp", hidden=[5]).facts
    assert found.macs == 64 * 5 + 5 * 10
    assert found.parameters == 64 * 5 + 5 + 5 * 10 + 10


def test_a_recurrent_network(untrained: Callable[..., Model]) -> None:
    rows, hidden = 8, 64
    assert untrained("gru_classifier").facts.macs == 8 * 3 * (rows * hidden + hidden * hidden) + hidden * 10


def test_counting_leaves_the_module_in_its_mode(untrained: Callable[..., Model]) -> None:
    model = untrained()
    model.module.train()
    family = model.family.build()
    facts.measure(family.graphs(model.module, model.domain))
    assert model.module.training
