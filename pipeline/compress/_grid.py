"""The grid of integer weights: what a weight may be where a file stores it in a few bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.compress._weights import weights
from pipeline.core import Unsupported

if TYPE_CHECKING:
    import torch

Widths = Mapping[str, int]
"""Bits by the names of weights; one that is not named stays float."""
FLOAT_BITS = 32
"""Of a scale, and of what is no weight: biases and norms."""
SHOWN = 5
"""Weights that an error names."""
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


def nearest(weight: torch.Tensor, bits: int, group: int | None = None, *, clip: bool = True) -> torch.Tensor:
    """The weights on the grid of the steps that fit them."""
    return on_grid(weight, scales(weight, bits, group, clip=clip), bits)


def put(module: torch.nn.Module, widths: Widths, group: int | None = None) -> None:
    """Rounds the weights that are named, in place. Unsupported where the group does not fit: a chain may have changed layers."""
    found = weights(module)
    if wrong := misfit(group, {name: found[name] for name in widths}):
        raise Unsupported(wrong)
    for name, bits in widths.items():
        found[name].data.copy_(nearest(found[name].data, bits, group))


def misfit(group: int | None, tensors: Mapping[str, torch.Tensor]) -> str | None:
    """What is wrong with a group that does not divide the inputs of every weight, with those that it does not fit."""
    uneven = {name: each[0].numel() for name, each in tensors.items() if group and each[0].numel() % group}
    if not uneven:
        return None
    shown = ", ".join(f"{name} ({inputs})" for name, inputs in list(uneven.items())[:SHOWN])
    more = f" and {len(uneven) - SHOWN} more" if len(uneven) > SHOWN else ""
    return (
        f"group = {group} does not divide the inputs of {shown}{more}; choose a divisor, or leave group out for one scale an "
        "output channel"
    )


def mean_bits(module: torch.nn.Module, widths: Widths, group: int | None = None) -> float:
    """Of a parameter in a file: integers and their scales, and floats where a parameter is not named."""
    parameters = dict(module.named_parameters())
    bits = {
        name: stored(widths[name]) + FLOAT_BITS / (group or each[0].numel()) if name in widths else FLOAT_BITS
        for name, each in parameters.items()
    }
    return sum(bits[name] * each.numel() for name, each in parameters.items()) / sum(each.numel() for each in parameters.values())


def _rows(weight: torch.Tensor, group: int | None) -> torch.Tensor:
    """[out, groups, inputs of a group]."""
    flat = weight.flatten(1)
    return flat.reshape(len(flat), -1, group or flat.shape[1])


def _rounded(rows: torch.Tensor, step: torch.Tensor, bits: int) -> torch.Tensor:
    top = levels(bits)
    return (rows / step).round().clamp(-top, top) * step
