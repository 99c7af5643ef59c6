"""What the networks of diffusion models share: how they are told how much noise there is, and which class is wanted."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

LEVELS = 200
"""Of noise: 0 is a picture, this many is noise alone. More would be more rows of a table, most of which sampling passes by."""
FREQUENCIES = 8
"""Of the sines and cosines that tell a level."""
HIGHEST = 64.0
"""The highest frequency over the lowest."""


class Denoiser(nn.Module):
    """Abstract: (noisy float [N, C, H, W], level int64 [N], label int64 [N]) -> velocity [N, C, H, W]."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.condition = Condition(classes, width)
        self.none = classes
        """The label that stands for no class."""


class Condition(nn.Module):
    """Level int64 [N] and label int64 [N] as numbers [N, width]."""

    waves: torch.Tensor

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("waves", waves(torch.arange(LEVELS + 1) / LEVELS, FREQUENCIES))
        self.level = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.labels = nn.Embedding(classes + 1, width)
        nn.init.normal_(self.labels.weight, std=0.5)  # about as large as what tells the level

    def forward(self, level: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """[N, width]."""
        return functional.silu(self.level(functional.embedding(level, self.waves)) + self.labels(label))


def waves(places: torch.Tensor, frequencies: int) -> torch.Tensor:
    """Sines and cosines [N, 2 frequencies] of places [N], 0 to 1: from a quarter of a wave over all to `HIGHEST` times that."""
    angles = places[:, None] * (math.pi / 2 * HIGHEST ** torch.linspace(0, 1, frequencies))
    return torch.cat([angles.sin(), angles.cos()], dim=1)
