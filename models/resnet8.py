"""ResNet-8: a small residual network (He et al., 2016), the image classifier of MLPerf Tiny (Banbury et al., 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Gt
from torch import nn

from models._classifier import Classifier
from pipeline.core import Domain, Train


@final
@dataclass(frozen=True)
class ResNet8(Classifier):
    """A convolution and three residual stacks of two convolutions each; the last feature map is averaged and classified.

    78,666 parameters on 32x32x3 images and 10 classes as the benchmark counts them: 78,186 weights and the 480 running means
    and variances of batch normalisation. As in its code convolutions have biases, shortcuts have no normalisation and no
    activation. Only its padding differs: its strided convolutions pad right and below, ours all around.
    """

    channels: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (16, 32, 64)
    """Of the three stacks; the second and the third halve the image."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the channels."""

    presets: ClassVar = {
        "quick": Train(epochs=8, batch=64, samples=2048, learning_rate=1e-2),
        "full": Train(epochs=50, batch=64, optimizer="sgd", learning_rate=0.1, weight_decay=5e-4, clip=None),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Image [N, C, H, W] -> logits [N, classes]."""
        depth = domain.inputs["image"].shape[1]
        first, second, third = (max(1, round(channels * self.width)) for channels in self.channels)
        return nn.Sequential(
            nn.Conv2d(depth, first, 3, padding=1),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            Residual(first, first, stride=1),
            Residual(first, second, stride=2),
            Residual(second, third, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(third, domain.classes),
        )


class Residual(nn.Module):
    """relu(shortcut(x) + f(x)), where f is two 3x3 convolutions with batch normalisation; a 1x1 shortcut where shapes differ."""

    def __init__(self, depth: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(depth, channels, 3, stride, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
        )
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(depth, channels, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, depth, H, W] -> [N, channels, H / stride, W / stride]."""
        return torch.relu(self.shortcut(x) + self.body(x))
