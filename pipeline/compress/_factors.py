"""A layer as a product of smaller ones: which ranks it can have, what each costs and loses, and the layers that result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core import Array

if TYPE_CHECKING:
    import torch

Ranks = tuple[int, ...]
"""(rank,) of a matrix; (output rank, input rank) of a convolution's kernel."""


@dataclass(frozen=True)
class Table:
    """All ranks of one layer: its arrays have an axis a rank, and index i is rank i + 1."""

    dense: int
    """Weights of the layer as it is."""
    parameters: Array
    """Weights of its factors, int64."""
    error: Array
    """Share of the squared Frobenius norm that the factors lose, float64, exact."""

    def ranks(self, index: int) -> Ranks:
        """The ranks at a flat index of the arrays."""
        return tuple(int(place) + 1 for place in np.unravel_index(index, self.parameters.shape))

    def at(self, ranks: Ranks) -> int:
        """Weights of the factors of these ranks."""
        return int(self.parameters[tuple(rank - 1 for rank in ranks)])

    def lost(self, ranks: Ranks) -> float:
        """The error of these ranks."""
        return float(self.error[tuple(rank - 1 for rank in ranks)])


def factorizable(layer: torch.nn.Module) -> bool:
    """Whether the layer is a product with a matrix or a kernel: Linear, Embedding, or Conv2d without groups."""
    from torch import nn

    # Their subclasses mean something else by their weights: the projection inside nn.MultiheadAttention is never called.
    if type(layer) is nn.Embedding:
        return layer.max_norm is None  # rows that are scaled when they are looked up are no product
    return type(layer) is nn.Linear or (type(layer) is nn.Conv2d and layer.groups == 1)


def table(layer: torch.nn.Module) -> Table:
    """What each rank of a factorizable layer costs and loses."""
    import torch

    weight = _weight(layer)
    if not _is_kernel(layer):
        energy = torch.linalg.svdvals(weight.flatten(1)) ** 2
        rows, columns = weight.flatten(1).shape
        return _table(weight, energy, np.arange(1, len(energy) + 1) * (rows + columns))
    outputs, inputs, *window = weight.shape
    left, right = _bases(weight)
    energy = torch.einsum("oihw,oa,ib->abhw", weight, left, right).square().sum((2, 3))
    a, b = np.arange(1, energy.shape[0] + 1)[:, None], np.arange(1, energy.shape[1] + 1)[None]
    # A mode that keeps its full rank needs no factor.
    parameters = a * b * window[0] * window[1] + np.where(a < outputs, a * outputs, 0) + np.where(b < inputs, b * inputs, 0)
    return _table(weight, energy, parameters)


def _table(weight: torch.Tensor, energy: torch.Tensor, parameters: Array) -> Table:
    kept = energy.numpy()
    for axis in range(kept.ndim):
        kept = kept.cumsum(axis)
    whole = max(float(weight.square().sum()), np.finfo(np.float64).tiny)
    return Table(weight.numel(), parameters, np.maximum(1 - kept / whole, 0))


def structure(layer: Any, ranks: Ranks) -> torch.nn.Sequential:
    """The factors of a layer in the order in which they run, with weights still to be filled in."""
    from torch import nn

    if isinstance(layer, nn.Linear):
        first = nn.Linear(layer.in_features, ranks[0], bias=False)
        return nn.Sequential(first, nn.Linear(ranks[0], layer.out_features, layer.bias is not None))
    if isinstance(layer, nn.Embedding):
        rows = nn.Embedding(layer.num_embeddings, ranks[0], layer.padding_idx)
        return nn.Sequential(rows, nn.Linear(ranks[0], layer.embedding_dim, bias=False))
    inputs, outputs, bias = layer.in_channels, layer.out_channels, layer.bias is not None
    where = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "padding_mode": layer.padding_mode}
    if not _is_kernel(layer):
        return nn.Sequential(nn.Conv2d(inputs, ranks[0], 1, bias=False, **where), nn.Conv2d(ranks[0], outputs, 1, bias=bias))
    a, b = ranks
    factors = [nn.Conv2d(b, a, layer.kernel_size, bias=bias and a == outputs, **where)]
    if b < inputs:
        factors.insert(0, nn.Conv2d(inputs, b, 1, bias=False))  # without a bias padding stays zero
    if a < outputs:
        factors.append(nn.Conv2d(a, outputs, 1, bias=bias))
    return nn.Sequential(*factors)


def factorized(layer: Any, ranks: Ranks) -> torch.nn.Sequential:
    """The factors of a layer: of these ranks the nearest (SVD), or within sqrt(2) of the nearest (Tucker-2)."""
    import torch
    from torch import nn

    factors = structure(layer, ranks)
    with torch.no_grad():
        for factor, weight in zip(factors, _weights(layer, ranks), strict=True):
            factor.get_parameter("weight").copy_(weight.reshape(factor.get_parameter("weight").shape))
        last = factors[-1]
        if not isinstance(layer, nn.Embedding) and layer.bias is not None:
            last.get_parameter("bias").copy_(layer.bias)
    return factors.train(layer.training)


def _weights(layer: Any, ranks: Ranks) -> list[torch.Tensor]:
    """The factors' weights, float64, in the order in which they run."""
    import torch
    from torch import nn

    weight = _weight(layer)
    if not _is_kernel(layer):
        left, values, right = torch.linalg.svd(weight.flatten(1), full_matrices=False)
        root = values[: ranks[0]].sqrt()  # each factor gets half of the scale, so that one learning rate suits both
        down, up = root[:, None] * right[: ranks[0]], left[:, : ranks[0]] * root
        return [up, down.T] if isinstance(layer, nn.Embedding) else [down, up]
    outputs, inputs = weight.shape[:2]
    left, right = (basis[:, :rank] for basis, rank in zip(_bases(weight), ranks, strict=True))
    left = left if ranks[0] < outputs else torch.eye(outputs, dtype=weight.dtype)
    right = right if ranks[1] < inputs else torch.eye(inputs, dtype=weight.dtype)
    core = torch.einsum("oihw,oa,ib->abhw", weight, left, right)
    return [*([right.T] if ranks[1] < inputs else []), core, *([left] if ranks[0] < outputs else [])]


def _bases(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Orthonormal bases of a kernel's outputs and of its inputs, the strongest direction first (De Lathauwer et al. 2000)."""
    import torch

    outputs, inputs = (torch.linalg.svd(weight.transpose(0, mode).flatten(1), full_matrices=False)[0] for mode in (0, 1))
    return outputs, inputs


def _weight(layer: Any) -> torch.Tensor:
    weight: torch.Tensor = layer.weight.detach().cpu().double()
    return weight


def _is_kernel(layer: Any) -> bool:
    """Whether it is a convolution over more than one place; over one it is a matrix."""
    import torch

    return isinstance(layer, torch.nn.Conv2d) and layer.kernel_size != (1, 1)
