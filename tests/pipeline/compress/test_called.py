"""Layers whose weights somebody else reads are left alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from models._classifier import Classifier
from pipeline.compress._called import only_called
from pipeline.compress._factors import factorizable
from pipeline.core import Domain, Graph, TensorSpec

TEXTS = Domain("texts", {"tokens": TensorSpec((1, 5), "int64")}, 30)


class Net(nn.Module):
    """An embedding whose table makes the logits, a layer under two names, one with a penalty, and one that is only called."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.twice, self.punished, self.free, self.spare = (
            nn.Embedding(30, 8),
            *(nn.Linear(8, 8) for _ in range(4)),
        )
        self.again = self.twice
        self.attention = nn.MultiheadAttention(8, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.free(self.punished(self.again(self.twice(self.embedding(tokens)))))
        return self.attention(x, x, x)[0] @ self.embedding.weight.T


class Family(Classifier):
    """Its training pass calls a layer that is not deployed; what it deploys is a copy."""

    def build(self, domain: Domain) -> nn.Module:
        return Net()

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        penalty = module.get_parameter("punished.weight").square().sum()
        return {"logits": module(batch["tokens"]) + module.get_submodule("spare")(torch.zeros(8)).sum(), "penalty": penalty}

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        return {"net": Graph(copy.deepcopy(module), domain.inputs, ("logits",))}


def test_a_layer_can_be_replaced_when_it_is_deployed_and_nothing_but_called() -> None:
    module = Net()
    batch = {"tokens": torch.zeros(2, 5, dtype=torch.int64)}
    assert only_called(module, Family(), TEXTS, batch, factorizable) == ["free"]
    assert type(module.free) is nn.Linear and module(batch["tokens"]).shape == (2, 5, 30)
