"""Diffusion transformer: pictures made of noise step by step, by a transformer that takes a picture for a sequence of patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.nn import functional

from models._denoiser import Denoiser, waves
from models._diffusion import Diffusion
from models._transformer import Attention, refuse_uneven
from pipeline.core import Train


@final
@dataclass(frozen=True)
class DiffusionTransformer(Diffusion):
    """Pre-norm layers over patches, whose norms are scaled and moved, and whose results are weighed, by level and class.

    The weights start at 0, so each layer at first leaves what it is given as it is (adaLN-zero).
    Source: W. Peebles & S. Xie, "Scalable diffusion models with transformers" (2023, arXiv:2212.09748).
    """

    layers: Annotated[int, Ge(1)] = 3
    heads: Annotated[int, Ge(1)] = 4
    hidden: Annotated[int, Ge(4)] = 64
    """Numbers that stand for a patch, divided among the heads."""
    patch: Annotated[int, Ge(1)] = 4
    """Pixels of its sides."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies `hidden`."""

    presets: ClassVar = {
        "quick": Train(epochs=8, batch=64, samples=2048, learning_rate=5e-3, weight_decay=0.0, augment=False),
        "full": Train(epochs=16, learning_rate=5e-3, weight_decay=0.0, augment=False),
    }
    called: ClassVar = "diffusion_transformer"

    @property
    def divisor(self) -> int:
        """A whole number of patches."""
        return self.patch

    def network(self, shape: tuple[int, ...], classes: int) -> Denoiser:
        """`hidden` times `width` is rounded to a multiple of the heads."""
        refuse_uneven(self.called, self.hidden, self.heads, "hidden")
        hidden = self.heads * max(1, round(self.hidden / self.heads * self.width))
        return Transformer(shape, classes, self.patch, hidden, self.heads, self.layers)


class Transformer(Denoiser):
    """Patches, layers over them, and the velocity of each patch's pixels."""

    places: torch.Tensor

    def __init__(self, shape: tuple[int, ...], classes: int, patch: int, hidden: int, heads: int, layers: int) -> None:
        super().__init__(classes, hidden)
        self.grid, self.patch = tuple(side // patch for side in shape[1:]), patch
        self.first = nn.Conv2d(shape[0], hidden, patch, patch)
        self.register_buffer("places", _places(self.grid, hidden))
        self.layers = nn.ModuleList(Layer(hidden, heads) for _ in range(layers))
        self.norm = Norm(hidden)
        self.last = nn.Linear(hidden, shape[0] * patch * patch)
        nn.init.zeros_(self.last.weight)

    def forward(self, noisy: torch.Tensor, level: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Noisy [N, C, H, W] at int64 [N] levels, of int64 [N] classes -> velocity [N, C, H, W]."""
        condition = self.condition(level, label)
        x = self.first(noisy).flatten(2).transpose(1, 2) + self.places
        for layer in self.layers:
            x = layer(x, condition)
        pixels = self.last(self.norm(x, condition))
        return functional.pixel_shuffle(pixels.transpose(1, 2).unflatten(2, self.grid), self.patch)


class Norm(nn.Module):
    """Layer normalization, whose scale and shift follow from the condition."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False)
        self.scale, self.shift = _zero(hidden), _zero(hidden)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """[N, T, hidden], by the condition [N, hidden]."""
        normed: torch.Tensor = self.norm(x) * (1 + self.scale(condition)[:, None]) + self.shift(condition)[:, None]
        return normed


class Layer(nn.Module):
    """Attention and a feed-forward network, each behind its norm and weighed by the condition."""

    visible: torch.Tensor
    """To every patch every other."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.attention_norm, self.attention_weight = Norm(hidden), _zero(hidden)
        self.attention = Attention(hidden, heads, hidden // heads)
        self.dense_norm, self.dense_weight = Norm(hidden), _zero(hidden)
        self.dense = nn.Sequential(nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Linear(4 * hidden, hidden))
        self.register_buffer("visible", torch.ones(1, dtype=torch.bool))

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Patches [N, T, hidden], by the condition [N, hidden]."""
        normed = self.attention_norm(x, condition)
        taken = self.attention(normed, self.attention.keys_values(normed), self.visible)
        x = x + self.attention_weight(condition)[:, None] * taken
        added: torch.Tensor = self.dense_weight(condition)[:, None] * self.dense(self.dense_norm(x, condition))
        return x + added


def _places(grid: tuple[int, ...], hidden: int) -> torch.Tensor:
    """Sines and cosines of each patch's row and column, [rows * columns, hidden]."""
    rows, columns = (waves(torch.arange(side) / side, -(-hidden // 4)) for side in grid)
    both = torch.cat([rows[:, None].expand(-1, grid[1], -1), columns[None].expand(grid[0], -1, -1)], dim=2)
    return both.flatten(0, 1)[:, :hidden]


def _zero(hidden: int) -> nn.Linear:
    """A dense layer that gives 0, whatever the condition, until it has learned."""
    layer = nn.Linear(hidden, hidden)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
