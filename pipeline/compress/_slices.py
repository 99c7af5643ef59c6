"""Slices that go together: which indices of which tensors are one channel, unit or head, and how they are cut out.

A channel that goes leaves a row of one weight, an element of a bias, a column of the next weight. Seen as slices of named
tensors all layers are alike, and the record of a cut is a list of [tensor, dimension, indices] that no tracing has to replay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Removal = list[Any]
"""[name of a tensor, dimension, [index, ...]]: a JSON value."""


@dataclass(frozen=True)
class Slices:
    """How a tensor is divided among a group's units along one dimension."""

    tensor: str
    dim: int
    owner: tuple[int, ...]
    """The unit that each index belongs to; -1: none."""


@dataclass(frozen=True)
class Group:
    """Units of one kind (channels of a layer, heads of an attention), each of which is slices of several tensors."""

    units: int
    slices: tuple[Slices, ...]

    def without(self, gone: Iterable[int]) -> list[Removal]:
        """What cutting these units out removes."""
        out = set(gone)
        found = [(each, [index for index, unit in enumerate(each.owner) if unit in out]) for each in self.slices]
        return [[each.tensor, each.dim, indices] for each, indices in found if indices]


def merged(parts: Iterable[Removal]) -> list[Removal]:
    """One removal a tensor and dimension: behind a concatenation several groups share one."""
    found: dict[tuple[str, int], set[int]] = {}
    for name, dim, indices in parts:
        found.setdefault((name, dim), set()).update(indices)
    return [[name, dim, sorted(indices)] for (name, dim), indices in found.items()]


def cut(module: torch.nn.Module, removed: Iterable[Removal]) -> torch.nn.Module:
    """Cuts slices out of a module's tensors, in place, and tells its layers of their new sizes."""
    import torch

    from pipeline.compress._heads import resize

    for name, dim, indices in removed:
        owner, _, attribute = name.rpartition(".")
        layer = module.get_submodule(owner)
        tensor = getattr(layer, attribute)
        gone = set(indices)
        kept = torch.tensor([index for index in range(tensor.shape[dim]) if index not in gone], device=tensor.device)
        smaller = tensor.detach().index_select(dim, kept)
        setattr(layer, attribute, torch.nn.Parameter(smaller) if isinstance(tensor, torch.nn.Parameter) else smaller)
    resize(module)  # first: heads are counted by what the layers said of themselves before
    for layer in module.modules():
        _resize(layer)
    return module


def _resize(layer: Any) -> None:
    """Makes the attributes that say a layer's sizes agree with its tensors."""
    from torch import nn

    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape[0], layer.weight.shape[1]
    elif isinstance(layer, nn.Conv2d):
        if depthwise(layer):
            layer.groups = layer.weight.shape[0]
        layer.out_channels, layer.in_channels = layer.weight.shape[0], layer.weight.shape[1] * layer.groups
    elif isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.weight is not None:
        layer.num_features = len(layer.weight)
    elif isinstance(layer, nn.RNNBase):
        inputs, hidden = layer.get_parameter("weight_ih_l0"), layer.get_parameter("weight_hh_l0")
        layer.input_size, layer.hidden_size = inputs.shape[1], hidden.shape[1]


def depthwise(layer: torch.nn.Conv2d) -> bool:
    """Whether each channel has a filter of its own."""
    return layer.groups > 1 and layer.groups == layer.in_channels == layer.out_channels
