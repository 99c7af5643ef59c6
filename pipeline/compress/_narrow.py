"""What takes the place of torch's attention when heads are cut out of it: torch's own must fill the width with its heads."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class NarrowAttention(nn.Module):
    """softmax(q k^T / sqrt(head_dim) + mask) v over heads that are fewer than fill the width, called as torch's attention is."""

    def __init__(self, whole: nn.MultiheadAttention) -> None:
        """Takes the parameters of an attention whose projections have been cut."""
        super().__init__()
        self.in_proj_weight, self.in_proj_bias, self.out_proj = whole.in_proj_weight, whole.in_proj_bias, whole.out_proj
        self.head_dim, self.dropout, self.batch_first = whole.head_dim, whole.dropout, whole.batch_first
        self.train(whole.training)

    @property
    def heads(self) -> int:
        """How many are left."""
        return int(self.in_proj_weight.shape[0]) // (3 * int(self.head_dim))

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = False,
        attn_mask: torch.Tensor | None = None,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, None]:
        """Query [T, N, width], key and value [S, N, width] (N first where `batch_first`) -> [T, N, width], and no weights.

        Masks [N, S] of padding and [T, S] are added to the scores; where they are bool, what they mark is not seen.
        """
        order = (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3)
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        queries, keys, values = (  # [N, heads, T, head_dim]
            functional.linear(x, weight, bias).reshape(*x.shape[:2], -1, self.head_dim).permute(order)
            for x, weight, bias in zip((query, key, value), self.in_proj_weight.chunk(3), biases, strict=True)
        )
        places = None if key_padding_mask is None else _added(key_padding_mask, query)[:, None, None]
        masks = [mask for mask in (places, None if attn_mask is None else _added(attn_mask, query)) if mask is not None]
        mask = sum(masks[1:], masks[0]) if masks else None
        dropout = self.dropout if self.training else 0.0
        taken = functional.scaled_dot_product_attention(queries, keys, values, mask, dropout)
        back = (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3)
        return self.out_proj(taken.permute(back).flatten(2)), None


def _added(mask: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """A mask as what is added to the scores."""
    return torch.zeros_like(mask, dtype=x.dtype).masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else mask.to(x.dtype)
