"""Generative adversarial network: a generator makes pictures of noise and a class, and learns from a critic that stays here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.nn import functional

from models._eye import shape_for
from models._game import GAME, Adversarial, Game
from pipeline.core import Domain, Train


@final
@dataclass(frozen=True)
class GAN(Adversarial):
    """A dense layer to a quarter of the picture's sides, a transposed convolution that doubles them, and one of doubled pixels.

    Sources: A. Radford et al., "Unsupervised representation learning with deep convolutional generative adversarial networks"
    (2016, arXiv:1511.06434); I. Gulrajani et al., "Improved training of Wasserstein GANs" (2017, arXiv:1704.00028).
    """

    channels: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (96, 48)
    """Of the maps of a quarter and of half the picture's sides."""
    latent: Annotated[int, Ge(2)] = 64
    critic: Annotated[int, Gt(0)] = 32
    penalty: Annotated[float, Gt(0)] = 10.0
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the generator's channels."""

    presets: ClassVar = {
        "quick": Train(epochs=8, samples=2048, **GAME),
        "full": Train(epochs=9, **GAME),
    }

    def build(self, domain: Domain) -> Game:
        """Generator and critic. UserError for what has no labelled pictures, or no eye."""
        shape = shape_for("lenet5", domain, "gan", 4, labelled=True, least=8)
        first, second = (max(1, round(each * self.width)) for each in self.channels)
        return Game(Generator(self.latent, domain.classes, first, second, shape), domain, self.critic)


class Generator(nn.Module):
    """Noise [N, latent] and shares of classes [N, classes] -> brightness [N, C, H, W], 0 to 1."""

    def __init__(self, latent: int, classes: int, first: int, second: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        self.small = (first, height // 4, width // 4)
        self.dense = nn.Linear(latent + classes, first * self.small[1] * self.small[2])
        self.dense_norm = nn.BatchNorm2d(first)
        self.doubled = nn.ConvTranspose2d(first, second, 4, 2, 1)
        self.doubled_norm = nn.BatchNorm2d(second)
        # No transposed one: LiteRT 2.3 loads none in int8 that has a single output channel and a scale for each channel.
        self.picture = nn.Conv2d(second, channels, 3, padding=1)

    def forward(self, latent: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W]."""
        maps = self.dense(torch.cat([latent, kind], dim=1)).unflatten(1, self.small)
        maps = functional.relu(self.dense_norm(maps))
        maps = functional.relu(self.doubled_norm(self.doubled(maps)))
        return torch.sigmoid(self.picture(functional.interpolate(maps, scale_factor=2.0)))
