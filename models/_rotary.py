"""Rotary positions (Su et al. 2021, "RoFormer"): queries and keys are turned by an angle that grows with their place.

A query and a key then meet at an angle that says how far apart they are, wherever in the text that is; nothing is learned of
single places, which is what a small decoder learns by heart and is wrong about in new text.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from models._transformer import HIDDEN, KeysValues

BASE = 10_000.0
"""The slowest pair of dimensions turns once in 2 pi BASE places."""


class Rotation(nn.Module):
    """Turns vectors [N, heads, T, head_dim] (an even number) by their places, up to `length`."""

    cos: torch.Tensor
    sin: torch.Tensor

    def __init__(self, length: int, head_dim: int) -> None:
        super().__init__()
        speeds = BASE ** (-torch.arange(0, head_dim, 2) / head_dim)
        angles = torch.arange(length)[:, None] * speeds
        self.register_buffer("cos", angles.cos(), persistent=False)  # a table: no runtime computes an angle
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Positions int64 [N, T] or [1, T]: each half of a vector's dimensions is one coordinate of its pairs."""
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        first, second = x.chunk(2, dim=3)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=3)


class RotaryBlock(nn.Module):
    """A pre-norm block (Xiong et al. 2020): self-attention with turned queries and keys, then a feed-forward network."""

    def __init__(self, width: int, heads: int, head_width: int, hidden: int, dropout: float, rotation: Rotation) -> None:
        super().__init__()
        self.heads, self.rotation, inner = heads, rotation, heads * head_width
        self.attention_norm = nn.LayerNorm(width)
        self.queries_keys_values, self.output = nn.Linear(width, 3 * inner), nn.Linear(inner, width)
        self.feed_forward = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: torch.Tensor, positions: torch.Tensor, visible: torch.Tensor, past: KeysValues | None = None
    ) -> tuple[torch.Tensor, KeysValues]:
        """x [N, T, width] at positions int64 [N, T] or [1, T] after the block, and the turned keys and the values of these.

        They see `past` and themselves, in this order, where `visible` (bool, broadcast to [N, heads, T, S]) says so.
        """
        parts = self.queries_keys_values(self.attention_norm(x)).chunk(3, dim=2)
        queries, keys, values = (part.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2) for part in parts)
        queries, keys = self.rotation(queries, positions), self.rotation(keys, positions)
        own = keys, values
        if past is not None:
            keys, values = torch.cat((past[0], keys), dim=2), torch.cat((past[1], values), dim=2)
        scores = queries / math.sqrt(queries.shape[3]) @ keys.transpose(2, 3)
        taken = scores.masked_fill(~visible, HIDDEN).softmax(dim=3) @ values
        x = x + self.dropout(self.output(taken.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.feed_forward(x)), own
