"""Diffusion model whose network is a small U-Net: pictures made of noise, step by step, for a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.nn import functional

from models._denoiser import Denoiser
from models._diffusion import Diffusion
from pipeline.core import Train


@final
@dataclass(frozen=True)
class DiffusionUnet(Diffusion):
    """Residual blocks at a half and at a quarter of the picture's sides, both ways, and what was found on the way down added.

    It runs `steps` times for a picture, so it is small: the picture comes as four times as many channels of half its sides, there
    is no attention and no norm, and level and class only scale and move the channels inside of each block.
    Source: J. Ho et al., "Denoising diffusion probabilistic models" (2020, arXiv:2006.11239); scaling and moving, P. Dhariwal &
    A. Nichol, "Diffusion models beat GANs on image synthesis" (2021, arXiv:2105.05233).
    """

    channels: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (16, 48)
    """At a half and at a quarter of the sides."""
    blocks: Annotated[int, Ge(1)] = 2
    """At a quarter of the sides; at a half there is one on either way."""
    conditions: Annotated[int, Gt(0)] = 64
    """Numbers that stand for a level and a class."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the channels and the conditions."""

    presets: ClassVar = {
        "quick": Train(epochs=12, batch=32, samples=2048, learning_rate=6e-3, weight_decay=0.0, augment=False),
        # Moved digits would be other digits than those whose likeness is asked for.
        "full": Train(epochs=24, learning_rate=6e-3, weight_decay=0.0, augment=False),
    }
    called: ClassVar = "diffusion_unet"

    @property
    def divisor(self) -> int:
        """Sides are halved twice."""
        return 4

    def network(self, shape: tuple[int, ...], classes: int) -> Denoiser:
        """The U-Net."""
        half, quarter, conditions = (max(1, round(each * self.width)) for each in (*self.channels, self.conditions))
        return Unet(shape[0], classes, half, quarter, self.blocks, conditions)


class Unet(Denoiser):
    """Down, along, up."""

    def __init__(self, colours: int, classes: int, half: int, quarter: int, blocks: int, conditions: int) -> None:
        super().__init__(classes, conditions)
        self.first = nn.Conv2d(4 * colours, half, 3, padding=1)
        self.down = Block(half, conditions)
        self.halved = nn.Conv2d(half, quarter, 3, 2, 1)
        self.along = nn.ModuleList(Block(quarter, conditions) for _ in range(blocks))
        self.doubled = nn.Conv2d(quarter, 4 * half, 1)
        self.up = Block(half, conditions)
        self.last = nn.Conv2d(half, 4 * colours, 3, padding=1)
        nn.init.zeros_(self.last.weight)  # nothing is the best guess of who knows nothing

    def forward(self, noisy: torch.Tensor, level: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Noisy [N, C, H, W] at int64 [N] levels, of int64 [N] classes -> velocity [N, C, H, W]."""
        condition = self.condition(level, label)
        found = self.down(self.first(functional.pixel_unshuffle(noisy, 2)), condition)
        small = self.halved(found)
        for block in self.along:
            small = block(small, condition)
        found = self.up(found + functional.pixel_shuffle(self.doubled(small), 2), condition)
        return functional.pixel_shuffle(self.last(functional.silu(found)), 2)


class Block(nn.Module):
    """Two convolutions whose result is added to what they are given; between them the condition scales and moves each channel."""

    def __init__(self, channels: int, conditions: int) -> None:
        super().__init__()
        self.first, self.last = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.scale, self.shift = (nn.Linear(conditions, channels) for _ in range(2))
        nn.init.zeros_(self.last.weight)  # a block at first leaves what it is given nearly as it is

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """[N, channels, h, w], by the condition [N, conditions]."""
        scale, shift = (layer(condition)[:, :, None, None] for layer in (self.scale, self.shift))
        found = self.first(functional.silu(x)) * (1 + scale) + shift
        added: torch.Tensor = self.last(functional.silu(found))
        return x + added
