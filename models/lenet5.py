"""Convolutional network: LeNet-5 in its 20-50-500 form (Caffe's; LeCun et al., 1998; 431,080 parameters on 28x28 images)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from annotated_types import Gt
from torch import nn

from models._classifier import Classifier
from pipeline.core import Domain, Train
from pipeline.errors import UserError


@final
@dataclass(frozen=True)
class LeNet5(Classifier):
    """Two 5x5 convolutions with 2x2 max-pooling, then a hidden layer of 500 units with ReLU."""

    channels: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (20, 50)
    """Output channels of the two convolutions."""
    hidden: Annotated[int, Gt(0)] = 500
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the channels and the hidden units."""

    presets: ClassVar = {
        "quick": Train(epochs=30, batch=64, samples=2048, learning_rate=2e-3),
        "full": Train(epochs=16, learning_rate=2e-3, weight_decay=0.3),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Image [N, C, H, W] -> logits [N, classes]. Images under 16 px are padded, so that both poolings have input."""
        _, depth, height, width = domain.inputs["image"].shape
        if min(height, width) < 8:
            raise UserError(f"lenet5: images of {height}x{width} px are too small; at least 8x8 is needed")
        first, second, hidden = (max(1, round(units * self.width)) for units in (*self.channels, self.hidden))
        padding = 0 if min(height, width) >= 16 else 2
        rows, columns = (((size + 2 * padding - 4) // 2 + 2 * padding - 4) // 2 for size in (height, width))
        return nn.Sequential(
            nn.Conv2d(depth, first, 5, padding=padding),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 5, padding=padding),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(second * rows * columns, hidden),
            nn.ReLU(),
            nn.Linear(hidden, domain.classes),
        )
