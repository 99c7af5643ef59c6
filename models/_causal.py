"""What symbol comes next on a grid, read line by line: convolutions that see only what came before."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Causal(nn.Module):
    """Symbols int64 [N, h, w] and labels int64 [N] -> logits [N, symbols, h, w] of each symbol, given those before it.

    Two stacks of features: one of the lines above a place, one of the same line's left and what the first says there. So no
    corner above stays hidden from a place, as it does from masked kernels: each layer sees one further. Their input is moved by a
    line and by a place, after which a layer may look at its own place; kernels need no masks then, and are the small ones that
    they seem to be.
    Source: A. van den Oord et al., "Conditional image generation with PixelCNN decoders" (2016, arXiv:1606.05328), with ReLU in
    place of gates.
    """

    def __init__(self, symbols: int, classes: int, channels: int, layers: int) -> None:
        super().__init__()
        self.symbol = nn.Embedding(symbols, channels)
        self.layers = nn.ModuleList(Layer(classes, channels) for _ in range(layers))
        self.logits = nn.Conv2d(channels, symbols, 1)

    def forward(self, codes: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """All places at once."""
        given = self.symbol(codes).permute(0, 3, 1, 2)
        above = functional.pad(given[:, :, :-1], (0, 0, 1, 0))
        left = functional.pad(given[:, :, :, :-1], (1, 0, 0, 0))
        for layer in self.layers:
            above, left = layer(above, left, label)
        logits: torch.Tensor = self.logits(functional.relu(left))
        return logits


class Layer(nn.Module):
    """Adds to both stacks what its kernels find in them: two lines of three places, and two places of a line."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.above = nn.Conv2d(channels, channels, (2, 3))
        self.left = nn.Conv2d(channels, channels, (1, 2))
        self.across = nn.Conv2d(channels, channels, 1)
        self.label = nn.Embedding(classes, channels)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, above: torch.Tensor, left: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both [N, channels, h, w]."""
        above = above + self.above(functional.pad(functional.relu(above), (1, 1, 1, 0)))
        near = self.left(functional.pad(functional.relu(left), (1, 0, 0, 0)))
        found = near + self.across(functional.relu(above)) + self.label(label)[:, :, None, None]
        return above, left + self.out(functional.relu(found))
