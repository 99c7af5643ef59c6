"""Finds the chains of binary layers in a module, and puts packed networks in their places."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from pipeline.compress._binary import Binary, BinaryConv2d
from pipeline.core import Graph, Unsupported
from pipeline.export._packed import BETWEEN, stages
from pipeline.export._trace import examples
from targets.kernels.network import Network, write


class Packed(nn.Module):
    """What a chain computes, of floats [N, C, H, W] or [..., features], by the kernels."""

    def __init__(self, file: bytes, output: tuple[int, int, int], takes_images: bool, gives_images: bool) -> None:
        super().__init__()
        self.register_buffer("file", torch.from_numpy(np.frombuffer(file, np.uint8).copy()))
        self.output = output
        """Channels, height and width that come out."""
        self.takes_images, self.gives_images = takes_images, gives_images

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The last layer's floats."""
        samples = x if self.takes_images else x.reshape(-1, x.shape[-1], 1, 1)
        found: torch.Tensor = torch.ops.edgepress.packed(samples, self.file, list(self.output))
        if self.gives_images:
            return found
        return found.flatten(1) if self.takes_images else found.view(*x.shape[:-1], -1)


@torch.library.custom_op("edgepress::packed", mutates_args=())
def _packed(x: torch.Tensor, file: torch.Tensor, output: list[int]) -> torch.Tensor:
    network = _opened(file.numpy().tobytes())
    return torch.from_numpy(network(np.ascontiguousarray(x.detach().numpy())))


@_packed.register_fake
def _(x: torch.Tensor, file: torch.Tensor, output: list[int]) -> torch.Tensor:
    return x.new_empty(x.shape[0], *output)


@functools.lru_cache(maxsize=16)
def _opened(file: bytes) -> Network:
    return Network(file)


def lowered(graph: Graph) -> Graph:
    """The graph with its chains packed; the graph itself where it has no binary layer."""
    if not any(isinstance(layer, Binary) for layer in graph.module.modules()):
        return graph
    return replace(graph, module=packed(graph.module, tuple(map(torch.from_numpy, examples(graph).values()))))


def packed(module: nn.Module, examples: tuple[torch.Tensor, ...]) -> nn.Module:
    """A copy of the module with a `Packed` in the place of every longest chain, or of every single layer where no chain is seen:
    in a module whose forward cannot be traced, and inside of torch's own.
    """
    copied = copy.deepcopy(module).eval()
    try:
        graph = _Tracer().trace(copied)
    except Exception:  # noqa: BLE001  # what a forward raises that is given no numbers is its own affair
        return _alone(copied, examples)
    return _alone(_chained(fx.GraphModule(copied, graph), examples), examples)


def _chained(whole: fx.GraphModule, examples: tuple[torch.Tensor, ...]) -> fx.GraphModule:
    """With its chains packed, in place."""
    ShapeProp(whole).propagate(*examples)
    layers = dict(whole.named_modules())
    for number, chain in enumerate(list(_chains(whole.graph, layers))):
        (given,) = chain[0].all_input_nodes
        try:
            made = _made([layers[str(node.target)] for node in chain], given.meta["tensor_meta"].shape)
        except Unsupported:
            continue  # one by one they can be
        whole.add_module(name := f"packed_{number}", made)
        with whole.graph.inserting_before(chain[0]):
            node = whole.graph.call_module(name, (given,))
        node.meta = chain[-1].meta  # what reads it may be a chain, too
        chain[-1].replace_all_uses_with(node)
        for each in reversed(chain):
            whole.graph.erase_node(each)
    whole.delete_all_unused_submodules()
    whole.recompile()
    return whole


def _alone(module: nn.Module, examples: tuple[torch.Tensor, ...]) -> nn.Module:
    """With every binary layer that is left packed for itself, in place."""
    shapes: dict[str, tuple[int, ...]] = {}
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, Binary)}
    for name, layer in layers.items():
        layer.register_forward_pre_hook(lambda _, given, name=name: shapes.update({name: given[0].shape}))
    if layers:
        with torch.no_grad():
            module(*examples)
    for name, shape in shapes.items():
        module.set_submodule(name, _made([layers[name]], shape))
    return module


def _made(chain: list[nn.Module], shape: tuple[int, ...]) -> Packed:
    """Of a chain that is given tensors of this shape."""
    images = [isinstance(layer, BinaryConv2d) for layer in (chain[0], chain[-1])]
    channels, height, width = shape[1:] if images[0] else (shape[-1], 1, 1)
    file = write(stages(chain, (channels, height, width)))
    return Packed(file, Network(file).output, *images)


class _Tracer(fx.Tracer):
    """Looks into everything but what a chain is made of."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (Binary, *BETWEEN)) or super().is_leaf_module(m, module_qualified_name)


def _chains(graph: fx.Graph, layers: Mapping[str, Any]) -> Iterator[list[fx.Node]]:
    """Nodes from a binary layer to the last one that is reached by what may stand between; nothing else may see them."""
    taken: set[fx.Node] = set()
    for node in graph.nodes:
        if node in taken or not isinstance(_called(node, layers), Binary):
            continue
        chain, end, here = [node], 1, node
        while len(here.users) == 1:
            (here,) = here.users
            module = _called(here, layers)
            if not isinstance(module, (Binary, *BETWEEN)):
                break
            chain.append(here)
            end = len(chain) if isinstance(module, Binary) else end
        taken |= set(chain[:end])
        yield chain[:end]


def _called(node: fx.Node, layers: Mapping[str, Any]) -> nn.Module | None:
    return layers[str(node.target)] if node.op == "call_module" else None
