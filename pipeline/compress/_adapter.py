"""Low-rank updates of weights, as parametrizations: layers see the sum, and training sees the update alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

LAYERS = (nn.Linear, nn.Embedding, nn.modules.conv._ConvNd, nn.RNNBase)
"""Whose matrices and kernels can have an update."""


class Update(nn.Module):
    """For weights W [outputs, ...], its other dimensions taken as one: W' = W + scale * B A, A [rank, inputs], B [outputs, rank].

    With magnitudes (DoRA) each row of that gets the length |W| + magnitude, row by row. All zeros, or B alone, leave W as it is.
    """

    def __init__(self, weight: torch.Tensor, rank: int, scale: float, magnitudes: bool) -> None:
        super().__init__()
        outputs, inputs = weight.flatten(1).shape
        rank, self.scale = min(rank, outputs, inputs), scale
        self.a, self.b = nn.Parameter(torch.zeros(rank, inputs)), nn.Parameter(torch.zeros(outputs, rank))
        self.magnitude = nn.Parameter(torch.zeros(outputs)) if magnitudes else None

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The updated weight."""
        rows = weight.flatten(1)
        moved = rows + self.scale * (self.b @ self.a)
        gain = self.gain(weight)
        return (moved if gain is None else gain[:, None] * moved).view_as(weight)

    def gain(self, weight: torch.Tensor) -> torch.Tensor | None:
        """[outputs]: what the magnitudes make of each row; None without them."""
        if self.magnitude is None:
            return None
        rows = weight.flatten(1)
        least = torch.finfo(rows.dtype).tiny  # a row of zeros has no direction
        moved = (rows + self.scale * (self.b @ self.a)).norm(dim=1).clamp(min=least)
        gain: torch.Tensor = (rows.norm(dim=1).clamp(min=least) + self.magnitude) / moved
        return gain


def adaptable(module: nn.Module) -> dict[str, list[str]]:
    """The layers by name, and which of their parameters can have an update; not those that two layers share."""
    owners = Counter(id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False))
    found = {
        name: [
            weight
            for weight, parameter in layer.named_parameters(recurse=False)
            if parameter.dim() >= 2 and owners[id(parameter)] == 1
        ]
        for name, layer in module.named_modules()
        if name and isinstance(layer, LAYERS)
    }
    return {name: weights for name, weights in found.items() if weights}


def attach(module: nn.Module, layers: dict[str, list[str]], rank: int, scale: float, magnitudes: bool) -> None:
    """Gives the weights of these layers updates of zeros."""
    for name, weights in layers.items():
        layer = module.get_submodule(name)
        for weight in weights:
            update = Update(layer.get_parameter(weight), rank, scale, magnitudes)
            parametrize.register_parametrization(layer, weight, update)


def begin(module: nn.Module, seed: int) -> None:
    """Draws A uniformly within 1 / sqrt(inputs), as the paper's code does; B stays zero, and so nothing changes yet."""
    generator = torch.Generator().manual_seed(seed)
    for _, _, update in updates(module):
        bound = 1 / math.sqrt(update.a.shape[1])
        with torch.no_grad():
            update.a.copy_((2 * torch.rand(update.a.shape, generator=generator) - 1) * bound)


def updates(module: nn.Module, kind: type[nn.Module] = Update) -> Iterator[tuple[Any, str, Any]]:
    """Each layer with the name of its weight and the update, or what has taken its place."""
    for layer in module.modules():
        if parametrize.is_parametrized(layer):
            parametrizations: Any = layer.parametrizations
            yield from ((layer, weight, chain[0]) for weight, chain in parametrizations.items() if isinstance(chain[0], kind))


def merge(module: nn.Module) -> None:
    """Puts the sums in the weights' places; no update is left."""
    for layer, weight, _ in list(updates(module)):
        parametrize.remove_parametrizations(layer, weight)


def still(module: nn.Module, done: float, normalizations: bool = True) -> None:
    """For `fit`'s `pace`: nothing is dropped, and normalizations keep the statistics that they have, which belong to the base."""
    kinds = (nn.modules.dropout._DropoutNd, *((nn.modules.batchnorm._BatchNorm,) if normalizations else ()))
    for layer in module.modules():
        if isinstance(layer, kinds):
            layer.eval()
