"""What the transformers share: one pre-norm block that serves training, prefill and single cached steps with the same weights."""

from __future__ import annotations

import math

import torch
from torch import nn

from pipeline.errors import UserError

HIDDEN = -30.0
"""The score of a position that may not be seen: e^-30 of a weight, less than float32 can tell from none. Not minus infinity:
the scores share one int8 scale, and with -10000 among them all that may be seen would be rounded to the same step.
"""

KeysValues = tuple[torch.Tensor, torch.Tensor]
"""Keys and values [N, heads, T, head_dim] of T positions."""


class Attention(nn.Module):
    """Scaled dot-product attention in several heads (Vaswani et al. 2017): softmax(q k^T / sqrt(head_dim)) v."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, heads * head_width)
        self.key = nn.Linear(width, heads * head_width)
        self.value = nn.Linear(width, heads * head_width)
        self.output = nn.Linear(heads * head_width, width)

    def keys_values(self, x: torch.Tensor) -> KeysValues:
        """What positions x [N, T, width] offer to those that look at them."""
        return self._split(self.key(x)), self._split(self.value(x))

    def forward(self, x: torch.Tensor, seen: KeysValues, visible: torch.Tensor) -> torch.Tensor:
        """What positions x [N, T, width] take from S others; `visible` is bool, broadcast to [N, heads, T, S]."""
        keys, values = seen
        queries = self._split(self.query(x)) / math.sqrt(keys.shape[3])
        weights = (queries @ keys.transpose(2, 3)).masked_fill(~visible, HIDDEN).softmax(dim=3)
        taken: torch.Tensor = self.output((weights @ values).transpose(1, 2).flatten(2))
        return taken

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """[N, T, width] -> [N, heads, T, head_dim]."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Block(nn.Module):
    """Self-attention, attention to a source if `cross`, and a feed-forward network; each added to a residual stream.

    The norm comes before each part (Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture").
    """

    def __init__(self, width: int, heads: int, head_width: int, hidden: int, dropout: float, cross: bool = False) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), Attention(width, heads, head_width)
        if cross:
            self.cross_norm, self.cross = nn.LayerNorm(width), Attention(width, heads, head_width)
        self.feed_forward = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: torch.Tensor,
        visible: torch.Tensor,
        past: KeysValues | None = None,
        source: KeysValues | None = None,
        source_visible: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, KeysValues]:
        """Positions x [N, T, width] after the block, and the keys and values that they offer to later ones.

        They see `past` and themselves, in this order, where `visible` says so; and of `source` what `source_visible` says.
        """
        normed = self.attention_norm(x)
        own = seen = self.attention.keys_values(normed)
        if past is not None:
            seen = (torch.cat((past[0], own[0]), dim=2), torch.cat((past[1], own[1]), dim=2))
        x = x + self.dropout(self.attention(normed, seen, visible))
        if source is not None and source_visible is not None:
            x = x + self.dropout(self.cross(self.cross_norm(x), source, source_visible))
        return x + self.dropout(self.feed_forward(x)), own


class Embedding(nn.Module):
    """The sum of a symbol's vector and its place's, which is learned too (Gehring et al. 2017)."""

    def __init__(self, symbols: int, positions: int, width: int, dropout: float) -> None:
        super().__init__()
        self.symbols, self.positions = nn.Embedding(symbols, width), nn.Embedding(positions, width)
        for table in (self.symbols, self.positions):
            nn.init.normal_(table.weight, std=0.05)  # small, because the symbols' vectors are also the weights of the logits
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Tokens int64 [N, T] at positions int64, broadcast to [N, T] -> [N, T, width]."""
        embedded: torch.Tensor = self.dropout(self.symbols(tokens) + self.positions(positions))
        return embedded


def causal(length: int, device: torch.device) -> torch.Tensor:
    """What each position sees of a sequence: itself and those before it, bool [length, length]."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def cached(position: torch.Tensor, length: int) -> torch.Tensor:
    """What one new position int64 [N] sees of a cache of `length` and itself, which comes last: bool [N, 1, 1, length + 1]."""
    places = torch.arange(length + 1, device=position.device)
    return ((places < position[:, None]) | (places == length))[:, None, None]


def refuse_uneven(family: str, width: int, heads: int, option: str = "width") -> None:
    """A UserError for a width, the family's `option`, that the heads cannot share."""
    if width % heads:
        raise UserError(f"{family}: {option} = {width} is no multiple of heads = {heads}; each head takes an equal part of it")
