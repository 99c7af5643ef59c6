"""A graph beside its adapter: the low-rank updates of its weights become inputs, so that they are swapped and the base is not."""

from __future__ import annotations

import copy
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pipeline.compress._adapter import Update, updates
from pipeline.core import Arrays, Graph, Model, TensorSpec, Unsupported
from targets.runtimes._adapter import PREFIX


def beside(model: Model, graph: Graph) -> tuple[Graph, Arrays]:
    """The graph with an input for each tensor of its adapter, and these tensors; without an adapter the graph as it is.

    Of layer L's weight w: `adapter.L.w.a` [rank, inputs], `.b` [outputs, rank] (scaled), and where rows change their length
    `.gain` [outputs] less 1, so that zeros are always the base. A layer computes (1 + gain) (W x + b (a x)), which costs
    rank * (inputs + outputs) products; where anything but a plain layer reads its weight that is (1 + gain) (W + b a).
    """
    if not model.adapter:
        return graph, {}
    if model.precision is not None and model.precision.activations != "float":
        raise Unsupported("an adapter beside its base needs float activations: they have no ranges before it is there")
    names = {id(each): name for name, each in model.module.named_modules()}
    places, tensors = list[str](), dict[str, Any]()
    module = copy.deepcopy(graph.module).eval()
    for path, update in graph.module.named_modules():
        if isinstance(update, Update):
            if id(update) not in names:
                raise Unsupported("this family deploys a copy of its module, so its adapter's parts have no names")
            name = PREFIX + names[id(update)].removesuffix(".0").replace("parametrizations.", "")
            given = _Given(update, _original(graph.module, path))
            module.set_submodule(path, given)
            places += [f"{path}.{part}" for part, _ in given.named_parameters()]
            tensors |= {f"{name}.{part}": each.detach().numpy().copy() for part, each in given.named_parameters()}
    for layer, _, _ in updates(module, _Given):
        forward = FORWARDS.get(type(layer).__bases__[0])
        if forward and getattr(layer, "groups", 1) == 1 and getattr(layer, "max_norm", None) is None:
            layer.forward = MethodType(forward, layer)
    inputs = {**graph.inputs, **{name: TensorSpec(array.shape) for name, array in tensors.items()}}
    return Graph(_Filled(module, len(graph.inputs), places), inputs, graph.outputs), tensors


def _original(module: nn.Module, path: str) -> torch.Tensor:
    """The weight of an update at `LAYER.parametrizations.WEIGHT.0`."""
    return module.get_submodule(path.rsplit(".", 1)[0]).get_parameter("original")


class _Given(nn.Module):
    """An update of which everything that its own numbers alone decide is computed before: the scale, and the rows' lengths."""

    def __init__(self, update: Update, weight: torch.Tensor) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(update.a.detach()), nn.Parameter(update.scale * update.b.detach())
        gain = update.gain(weight)
        self.gain = None if gain is None else nn.Parameter(gain.detach() - 1)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The updated weight."""
        moved = weight + (self.b @ self.a).view_as(weight)
        return moved if self.gain is None else moved + moved * self.gain.view(-1, *[1] * (weight.dim() - 1))


class _Filled(nn.Module):
    """A module whose last inputs take the places of its parameters."""

    def __init__(self, module: nn.Module, inputs: int, places: list[str]) -> None:
        super().__init__()
        self.module, self.inputs, self.places = module, inputs, places

    def forward(self, *arguments: torch.Tensor) -> Any:
        """The module's outputs."""
        given = dict(zip(self.places, arguments[self.inputs :], strict=True))
        return torch.func.functional_call(self.module, given, arguments[: self.inputs])


def _linear(layer: Any, x: torch.Tensor) -> torch.Tensor:
    weight, given = _parts(layer)
    y = functional.linear(x, weight) + functional.linear(functional.linear(x, given.a), given.b)
    y = y if given.gain is None else y + y * given.gain
    return y if layer.bias is None else y + layer.bias


def _embedding(layer: Any, index: torch.Tensor) -> torch.Tensor:
    weight, given = _parts(layer)
    y = functional.embedding(index, weight) + functional.embedding(index, given.b) @ given.a
    return y if given.gain is None else y + y * functional.embedding(index, given.gain[:, None])


def _convolution(layer: Any, x: torch.Tensor) -> torch.Tensor:
    weight, given = _parts(layer)
    narrow = layer._conv_forward(x, given.a.view(-1, *weight.shape[1:]), None)
    y: torch.Tensor = layer._conv_forward(x, weight, None) + functional.conv2d(narrow, given.b[:, :, None, None])
    y = y if given.gain is None else y + y * given.gain[:, None, None]
    return y if layer.bias is None else y + layer.bias[:, None, None]


def _parts(layer: Any) -> tuple[torch.Tensor, _Given]:
    chain = layer.parametrizations.weight
    return chain.original, chain[0]


FORWARDS = {nn.Linear: _linear, nn.Embedding: _embedding, nn.Conv2d: _convolution}
"""How a layer that is nothing but itself computes with its update apart; all else gets the updated weight."""
