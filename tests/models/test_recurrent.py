"""Recurrent language models: what is deployed, a step, is what was trained, a sequence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models._recurrent import RecurrentLanguageModel
from pipeline.core import Domain, Spec, TensorSpec
from pipeline.evaluate import module_predictor
from pipeline.facts import measure

DOMAIN = Domain("text", {"tokens": TensorSpec((1, 33), "int64")}, classes=11, vocabulary=tuple("abcdefghijk"))
TOLERANCE = 1e-5
"""Float32 sums in another order, over 32 steps."""


def family(name: str, **options: float) -> RecurrentLanguageModel:
    built: RecurrentLanguageModel = Spec("model", name, options).build()
    return built


@pytest.fixture(params=["rnn", "lstm", "gru"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def tokens(count: int) -> torch.Tensor:
    return torch.randint(11, (count, 33), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layers", [1, 2])
def test_stepping_is_the_sequence(name: str, layers: int) -> None:
    torch.manual_seed(0)
    model = family(name, hidden=24, layers=layers)
    module = model.build(DOMAIN).eval()
    batch = {"tokens": tokens(5)}
    with torch.no_grad():
        expected = model.forward(module, batch)["logits"].numpy()
    predictors = {key: module_predictor(graph) for key, graph in model.graphs(module, DOMAIN).items()}
    found, _ = model.task(DOMAIN).reader.read(predictors, batch["tokens"][:, :-1].numpy())
    assert found.shape == (5, 32, 11)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_the_judge_finds_the_loss_of_training(name: str) -> None:
    torch.manual_seed(0)
    model = family(name, hidden=24)
    module = model.build(DOMAIN).eval()
    batch = {"tokens": tokens(5)}
    with torch.no_grad():
        loss = float(model.loss(model.forward(module, batch), batch))
    predictors = {key: module_predictor(graph) for key, graph in model.graphs(module, DOMAIN).items()}
    task = model.task(DOMAIN)
    assert task.value(task.collect(predictors, {"tokens": batch["tokens"].numpy()})) == pytest.approx(loss, abs=TOLERANCE)


def test_what_comes_later_changes_nothing_before(name: str) -> None:
    model = family(name, hidden=24)
    module = model.build(DOMAIN).eval()
    one, other = tokens(1), tokens(1)
    other[:, 20:] = (other[:, 20:] + 1) % 11
    with torch.no_grad():
        first, second = (model.forward(module, {"tokens": each})["logits"][0] for each in (one, other))
    torch.testing.assert_close(first[:20], second[:20])
    assert not torch.allclose(first[20:], second[20:])


def test_it_learns_what_needs_a_memory(name: str) -> None:
    """Every character is the one of two places before: the last one alone tells nothing."""
    torch.manual_seed(0)
    model = family(name, hidden=48, dropout=0)
    module = model.build(DOMAIN)
    optimizer = torch.optim.AdamW(module.parameters(), 1e-2)
    for _ in range(150):
        batch = {"tokens": torch.randint(11, (32, 2)).repeat(1, 6)}
        loss = model.loss(model.forward(module, batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # The first of 11 predictions can only be guessed (log 11 = 2.4 nats); all others can be known.
    assert float(loss.detach()) < 0.2 * np.log(11)


def test_dropout_is_only_for_training(name: str) -> None:
    model = family(name, hidden=24, dropout=0.5)
    module = model.build(DOMAIN)
    batch = {"tokens": tokens(2)}
    assert not torch.equal(*(model.forward(module.train(), batch)["logits"] for _ in range(2)))
    assert torch.equal(*(model.forward(module.eval(), batch)["logits"] for _ in range(2)))


@pytest.mark.parametrize(("name", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_it_has_the_parameters_of_its_equations(name: str, gates: int) -> None:
    model = family(name, hidden=32, embedding=8, width=2.0, layers=2)
    layer = [gates * (64 * inputs + 64 * 64 + 2 * 64) for inputs in (8, 64)]
    expected = 11 * 8 + sum(layer) + 64 * 11 + 11
    assert measure(model.graphs(model.build(DOMAIN), DOMAIN)).parameters == expected
