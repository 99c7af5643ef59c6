"""The grid of integer weights: what a weight may be where a file stores it in a few bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CLIPS = 20
"""Scales that are tried: from the largest weight on the last level down to half of that."""


def levels(bits: int) -> int:
    """The largest integer of a symmetric grid: 7 of 4 bits, 127 of 8. The one below the smallest is not used."""
    return int(2 ** (bits - 1)) - 1


def stored(bits: int) -> int:
    """What integers of so many bits take in a file: formats have 4 and 8."""
    return 4 if bits <= 4 else 8


def scales(weight: torch.Tensor, bits: int, group: int | None = None, *, clip: bool = True) -> torch.Tensor:
    """The step of the grid, [out, groups, 1], for weights [out, ...] whose other dimensions are the inputs.

    `group` neighbours along the flattened inputs share one (it divides their number); None: all of an output channel do.
    With `clip` each is the one of a few candidates that loses least in squares; else the largest weight sets it.
    """
    import torch

    rows = _rows(weight, group)
    widest = rows.abs().amax(2, keepdim=True) / levels(bits)
    widest = torch.where(widest > 0, widest, torch.ones_like(widest))
    if not clip:
        return widest
    best, least = widest, torch.full_like(widest, torch.inf)
    for index in range(CLIPS):
        tried = widest * (1 - 0.5 * index / CLIPS)
        lost = ((_rounded(rows, tried, bits) - rows) ** 2).sum(2, keepdim=True)
        best, least = torch.where(lost < least, tried, best), torch.minimum(lost, least)
    return best


def on_grid(weight: torch.Tensor, step: torch.Tensor, bits: int) -> torch.Tensor:
    """The nearest weights on the grid, step * {-levels ... levels}, in the shape given."""
    groups = step.shape[1]
    rows = weight.reshape(len(weight), groups, -1)
    return _rounded(rows, step, bits).reshape(weight.shape)


def _rows(weight: torch.Tensor, group: int | None) -> torch.Tensor:
    """[out, groups, inputs of a group]."""
    flat = weight.flatten(1)
    return flat.reshape(len(flat), -1, group or flat.shape[1])


def _rounded(rows: torch.Tensor, step: torch.Tensor, bits: int) -> torch.Tensor:
    top = levels(bits)
    return (rows / step).round().clamp(-top, top) * step


def misfit(group: int | None, tensors: Mapping[str, torch.Tensor]) -> str | None:
    """What is wrong with a group that does not divide the inputs of every weight: the first that it does not fit."""
    for name, each in tensors.items():
        inputs = each[0].numel()
        if group and inputs % group:
            return f"group {group} does not divide the {inputs} inputs of {name!r}; it has to divide those of every weight"
    return None
