"""Attention heads and feed-forward units: which slices each of them is. The residual stream, to which all of them add, stays.

A head (Michel et al. 2019, "Are Sixteen Heads Really Better than One?", arXiv:1905.10650) is the rows of the query, key and
value projections that it is computed with, and the columns of the output projection that read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.compress._slices import Group, Slices

if TYPE_CHECKING:
    import torch


def heads(module: torch.nn.Module) -> list[Group]:
    """The heads of each attention."""
    return [_heads(name, layer, *found) for name, layer in module.named_modules() if (found := shape(layer))]


def units(module: torch.nn.Module) -> list[Group]:
    """The units of each feed-forward network behind an attention."""
    pairs = [(name, *pair) for name, layer in module.named_modules() if (pair := _feed_forward(layer))]
    return [_units(module, f"{name}.{first}", f"{name}.{second}") for name, first, second in pairs]


def shape(layer: Any) -> tuple[int, int] | None:
    """(heads, dimensions of each) of an attention whose heads can be cut; None for any other layer."""
    from torch import nn

    from models._rotary import RotaryBlock
    from models._transformer import Attention
    from pipeline.compress._narrow import NarrowAttention

    if isinstance(layer, NarrowAttention):
        return layer.heads, layer.head_dim
    if isinstance(layer, nn.MultiheadAttention):
        plain = layer.in_proj_weight is not None and layer.bias_k is None
        return (layer.num_heads, layer.head_dim) if plain else None
    if isinstance(layer, (Attention, RotaryBlock)):
        return layer.heads, layer.output.in_features // layer.heads
    return None


def resize(module: torch.nn.Module) -> None:
    """Sets the number of heads of each attention that was cut, by what its output projection said of itself before."""
    from torch import nn

    from models._rotary import RotaryBlock
    from models._transformer import Attention
    from pipeline.compress._narrow import NarrowAttention

    for name, layer in list(module.named_modules()):
        if isinstance(layer, (Attention, RotaryBlock)):
            layer.heads = layer.heads * layer.output.weight.shape[1] // layer.output.in_features
        elif isinstance(layer, nn.MultiheadAttention) and layer.out_proj.weight.shape[1] < layer.embed_dim:
            module.set_submodule(name, NarrowAttention(layer))


def _heads(name: str, layer: Any, count: int, dimensions: int) -> Group:
    owner = tuple(index // dimensions for index in range(count * dimensions))
    projections, output = _projections(layer)
    rows = [Slices(f"{name}.{tensor}", 0, owner * parts) for tensor, parts in projections.items()]
    return Group(count, (*rows, Slices(f"{name}.{output}", 1, owner)))


def _projections(layer: Any) -> tuple[dict[str, int], str]:
    """What makes queries, keys and values, with how many of these each tensor makes, one below the other; and the output."""
    from models._rotary import RotaryBlock
    from models._transformer import Attention

    if isinstance(layer, Attention):
        return {f"{part}.{kind}": 1 for part in ("query", "key", "value") for kind in ("weight", "bias")}, "output.weight"
    if isinstance(layer, RotaryBlock):
        return {"queries_keys_values.weight": 3, "queries_keys_values.bias": 3}, "output.weight"
    return {"in_proj_weight": 3, **({} if layer.in_proj_bias is None else {"in_proj_bias": 3})}, "out_proj.weight"


def _feed_forward(layer: Any) -> tuple[str, str] | None:
    """The names of the two linear layers of a block's feed-forward network."""
    from torch import nn

    from models._rotary import RotaryBlock
    from models._transformer import Block

    if isinstance(layer, (Block, RotaryBlock)):
        return "feed_forward.1", "feed_forward.3"
    return ("linear1", "linear2") if isinstance(layer, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)) else None


def _units(module: torch.nn.Module, first: str, second: str) -> Group:
    layer = module.get_submodule(first)
    every = tuple(range(layer.out_features))  # type: ignore[arg-type]  # a linear layer
    rows = [Slices(f"{first}.{tensor}", 0, every) for tensor, _ in layer.named_parameters()]
    return Group(len(every), (*rows, Slices(f"{second}.weight", 1, every)))
