"""The attention of a transformer while it runs, however its layers compute it: weights [..., T, S], of which rows sum to 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from pipeline.compress._hidden_layers import Seen

SOFTMAX: tuple[Callable[..., Any], ...] = (torch.softmax, torch.Tensor.softmax, functional.softmax)


class AttentionMaps(TorchFunctionMode):
    """Notes them by the name of the layer that computes them, in the order of the calls, while a `with` block runs.

    They are what a softmax along the last of three or more dimensions gives. torch's own attention is fused and never gives
    its weights away, so there they are computed once more, without dropout, from the same arguments.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.seen: Seen = {}
        self._running: list[str] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> AttentionMaps:
        for name, layer in self.module.named_modules():
            # `always_call`, so that a layer that fails is not taken for one that still runs.
            self._hooks.append(layer.register_forward_pre_hook(lambda *_, name=name: self._running.append(name)))
            self._hooks.append(layer.register_forward_hook(lambda *_: self._ended(), always_call=True))
        super().__enter__()  # type: ignore[no-untyped-call]  # torch's own
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]  # torch's own
        for hook in self._hooks:
            hook.remove()

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        made = function(*arguments, **options)
        if function in SOFTMAX and made.dim() >= 3 and _along(*arguments, **options) in (-1, made.dim() - 1):
            self._note(made)
        elif function is functional.scaled_dot_product_attention:
            self._note(weights(*arguments, **options))
        elif function is functional.multi_head_attention_forward:
            asked = {"need_weights": True, "average_attn_weights": False, "training": False}
            answer: Any = function(*arguments, **{**options, **asked})
            self._note(answer[1])
        return made

    def _note(self, attention: torch.Tensor) -> None:
        self.seen.setdefault(self._running[-1] if self._running else "", []).append(attention)

    def _ended(self) -> None:
        self._running.pop()


def weights(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """The weights inside torch's scaled_dot_product_attention, whose arguments these are: [..., T, S].

    softmax(q k^T scale + mask), where scale is 1 / sqrt(head_dim) unless given; a mask of bools says what may be seen.
    """
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores.softmax(dim=-1)


def _along(given: torch.Tensor, dim: int | None = None, *_: Any, **__: Any) -> int | None:
    return dim
