"""Which layers a model only calls: those can be replaced by any module that computes the same."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.core import Domain, Family

if TYPE_CHECKING:
    import torch

Batch = dict[str, "torch.Tensor"]


def only_called(
    module: torch.nn.Module, family: Family, domain: Domain, batch: Batch, wanted: Callable[[torch.nn.Module], bool]
) -> list[str]:
    """Names of the wanted layers that a deployed graph calls and whose weights nothing else reads, the training pass included.

    An embedding whose table also makes the logits, and a layer whose weights a penalty is on, are no such layers.
    """
    import torch

    layers = {name: layer for name, layer in module.named_modules() if name and wanted(layer)}
    copied = copy.deepcopy(module).eval()
    called: set[str] = set()
    read = _shared(module, layers)
    for name in layers:
        _watch(copied, name, called, read)
    with torch.no_grad():
        family.forward(copied, batch)
        called.clear()
        for graph in family.graphs(copied, domain).values():
            graph.module(*(torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in graph.inputs.values()))
    return [name for name in layers if name in called - read]


def _shared(module: torch.nn.Module, layers: dict[str, torch.nn.Module]) -> set[str]:
    """Names of layers that hold a parameter which is in the model under several names."""
    counts = Counter(id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False))
    return {name for name, layer in layers.items() if any(counts[id(parameter)] > 1 for parameter in layer.parameters())}


def _watch(module: torch.nn.Module, name: str, called: set[str], read: set[str]) -> None:
    """Puts something in the layer's place that notes whether it is called, and whether it is asked for anything else."""
    from torch import nn

    layer = module.get_submodule(name)

    class Watched(nn.Module):
        # What is noted lies outside of it, because a family may deploy a copy.
        def forward(self, x: torch.Tensor) -> Any:
            called.add(name)
            return layer(x)

        def __getattr__(self, attribute: str) -> Any:  # asked for what the module itself does not have
            if attribute.startswith("__"):  # by Python, such as `copy`
                raise AttributeError(attribute)
            read.add(name)
            return getattr(layer, attribute)

    module.set_submodule(name, Watched())
