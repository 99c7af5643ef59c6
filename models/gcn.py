"""Graph convolutional network (Kipf & Welling, 2017) on a graph that is small enough for a dense adjacency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast, final

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn
from torch.nn import functional

from models.tasks.nodes import NodeClassification
from pipeline.core import Domain, Family, Graph, Train


@final
@dataclass(frozen=True)
class GCN(Family):
    """Two graph convolutions, softmax(A relu(A X W1 + b1) W2 + b2), with A the normalised adjacency and X the features.

    Source: T. Kipf, M. Welling, "Semi-Supervised Classification with Graph Convolutional Networks" (2017, arXiv:1609.02907), with
    16 hidden units and a dropout of 0.5. The defaults here are the best of a few on Cora's validation nodes.
    The product with A is dense: n^2 multiply-accumulates a channel, which a sparse one would do in one an edge.
    """

    hidden: Annotated[int, Gt(0)] = 64
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.8
    """Of the features and of the hidden units, while training."""
    penalty: Annotated[float, Ge(0)] = 5e-4
    """The paper's L2 regularisation: this times half the squared norm of W1 is added to the loss."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the hidden units."""

    presets: ClassVar = {
        "quick": Train(epochs=60, batch=1, learning_rate=2e-2, weight_decay=0, clip=None),
        "full": Train(epochs=200, batch=1, learning_rate=1e-2, weight_decay=0, clip=None, warmup=0),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Features [N, n, f] and adjacency [N, n, n] -> logits [N, n, classes]."""
        hidden = max(1, round(self.hidden * self.width))
        return GraphConvolutions(domain.inputs["features"].shape[-1], hidden, domain.classes, self.dropout)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Logits of every node, and the penalty on the first layer's weights."""
        # What the layer multiplies with, which a technique may have made a function of its parameter.
        weight = cast(torch.Tensor, module.get_submodule("first").weight)
        return {
            "logits": module(batch["features"], batch["adjacency"]),
            "penalty": 0.5 * self.penalty * weight.square().sum(),
        }

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy in nats over the wanted nodes, and the penalty."""
        wanted = batch["wanted"]
        return functional.cross_entropy(outputs["logits"][wanted], batch["label"][wanted]) + outputs["penalty"]

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The classifier of all nodes is deployed; the graph is its input."""
        inputs = {name: domain.inputs[name] for name in ("features", "adjacency")}  # the module's order, whatever the domain's
        return {"classifier": Graph(module, inputs, ("logits",))}

    def task(self, domain: Domain) -> NodeClassification:
        """Top-1 accuracy over the wanted nodes."""
        return NodeClassification(graph="classifier")


class GraphConvolutions(nn.Module):
    """A convolution mixes each node's features, then averages over its neighbours: A (X W) + b."""

    def __init__(self, features: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(features, hidden, bias=False)
        self.second = nn.Linear(hidden, classes, bias=False)
        self.first_bias, self.second_bias = nn.Parameter(torch.zeros(hidden)), nn.Parameter(torch.zeros(classes))
        self.dropout = nn.Dropout(dropout)
        for layer in (self.first, self.second):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, features: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        """Features [N, n, f], adjacency [N, n, n] -> logits [N, n, classes]."""
        hidden = adjacency @ self.first(self.dropout(features)) + self.first_bias
        logits: torch.Tensor = adjacency @ self.second(self.dropout(hidden.relu())) + self.second_bias
        return logits
