"""What the techniques that work on single weights share: which tensors they touch, and zeros that stay zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def weights(module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The trained float parameters of two or more dimensions, by name; tied ones once. Biases and scales are not among them."""
    return {name: each for name, each in module.named_parameters() if each.dim() >= 2 and each.is_floating_point()}


def zeros(module: torch.nn.Module) -> int:
    """How many of the weights are exactly zero."""
    return sum(int((each == 0).sum()) for each in weights(module).values())


def kept_zeros(module: torch.nn.Module) -> Callable[[torch.nn.Module, float], None]:
    """For `fit`'s `pace`: what is zero now is zero again before every step, so that a pruned model stays pruned.

    A training ends after a step: whoever uses this calls it once more at the end.
    """
    masks = {name: each.detach() != 0 for name, each in weights(module).items() if bool((each == 0).any())}

    def pace(trained: torch.nn.Module, done: float) -> None:
        for name, each in weights(trained).items():
            if name in masks:
                each.data.mul_(masks[name].to(each.device))

    return pace
