"""Feed-forward network: LeNet-300-100 (LeCun et al., "Gradient-based learning applied to document recognition", 1998)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Annotated, ClassVar, final

from annotated_types import Gt, Len
from torch import nn

from models._classifier import Classifier
from pipeline.core import Domain, Train


@final
@dataclass(frozen=True)
class MLP(Classifier):
    """Fully connected layers with ReLU between them; 266,610 parameters on 28x28 images."""

    hidden: Annotated[tuple[Annotated[int, Gt(0)], ...], Len(1)] = (300, 100)
    """Units of the hidden layers."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies every hidden layer: 0.5 is a network of half the width."""

    presets: ClassVar = {
        "quick": Train(epochs=40, batch=64, samples=2048, learning_rate=2e-3),
        "full": Train(epochs=64),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Image [N, C, H, W] -> logits [N, classes]."""
        sizes = [prod(domain.inputs["image"].shape[1:]), *(max(1, round(units * self.width)) for units in self.hidden)]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], domain.classes))
