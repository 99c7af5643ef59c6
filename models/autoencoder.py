"""Autoencoder: squeezes an input through a few numbers and makes it again (Hinton & Salakhutdinov, 2006)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Gt
from torch import nn
from torch.nn import functional

from models._batch import only_input
from models.tasks.anomaly import Anomaly
from pipeline.core import Domain, Family, Graph, Train


@final
@dataclass(frozen=True)
class Autoencoder(Family):
    """Dense layers down to a bottleneck of `latent` numbers, and the same layers up again.

    What it never saw in training does not fit through, so the error of a reconstruction tells anomalies from what is
    normal. The bottleneck must be small: a large one passes simple strangers, as a digit is among clothes.
    """

    hidden: tuple[Annotated[int, Gt(0)], ...] = (256, 64)
    """Units of the hidden layers with ReLU on the way down."""
    latent: Annotated[int, Gt(0)] = 16
    """Numbers in the bottleneck."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the hidden units, not the bottleneck."""

    presets: ClassVar = {
        "quick": Train(epochs=10, batch=64, samples=2048, learning_rate=2e-3),
        "full": Train(epochs=10, learning_rate=2e-3),
    }

    def build(self, domain: Domain) -> nn.Module:
        """An input [N, ...] -> its reconstruction in the same shape."""
        (spec,) = domain.inputs.values()
        shape = spec.shape[1:]
        sizes = [prod(shape), *(max(1, round(units * self.width)) for units in self.hidden), self.latent]
        return nn.Sequential(nn.Flatten(), *_dense(sizes), *_dense(sizes[::-1]), nn.Unflatten(1, shape))

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The reconstruction, and the input that it is of."""
        given = only_input(batch)
        return {"reconstruction": module(given), "input": given}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Mean squared error."""
        return functional.mse_loss(outputs["reconstruction"], outputs["input"])

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The whole autoencoder is deployed; whoever runs it computes the error."""
        return {"autoencoder": Graph(module, domain.inputs, ("reconstruction",))}

    def task(self, domain: Domain) -> Anomaly:
        """Area under the receiver operating characteristic of the reconstruction error."""
        return Anomaly(graph="autoencoder")


def _dense(sizes: list[int]) -> list[nn.Module]:
    """Linear layers with ReLU between them, none after the last."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return layers[:-1]
