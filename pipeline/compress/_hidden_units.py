"""Hidden units of torch's recurrent layers (RNN, LSTM, GRU): which slices each of them is.

Of a level with H units and G gates (1, 4 and 3): weight_ih [G * H, inputs], weight_hh [G * H, H], their biases [G * H], and
the columns of the next level's weight_ih. All levels of a layer have as many units, so they lose as many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.compress._slices import Group, Slices

if TYPE_CHECKING:
    import torch

TRACED = ".traced"
"""Ends the name of the linear layer that stands for a recurrent one."""


def recurrent(module: torch.nn.Module) -> dict[str, Any]:
    """The recurrent layers that can be cut, by name: those that go in one direction and project nothing."""
    from torch import nn

    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.RNNBase)}
    return {name: layer for name, layer in layers.items() if not layer.bidirectional and not layer.proj_size}


def outputs(name: str, layer: Any, owner: list[int]) -> list[Slices]:
    """The slices of the last level, whose units are the layer's outputs."""
    return _level(name, layer, layer.num_layers - 1, owner)


def inputs(name: str, layer: Any, owner: list[int]) -> list[Slices]:
    """The slices of the first level that read a layer's inputs."""
    return [Slices(f"{name}.weight_ih_l0", 1, tuple(owner))]


def inner(name: str, layer: Any) -> list[Group]:
    """The units of all levels but the last."""
    found = []
    for level in range(layer.num_layers - 1):
        units = list(range(layer.hidden_size))
        following = Slices(f"{name}.weight_ih_l{level + 1}", 1, tuple(units))
        found.append(Group(layer.hidden_size, (*_level(name, layer, level, units), following)))
    return found


def replace_by_linear(module: torch.nn.Module) -> None:
    """Puts a linear layer of the same widths in each one's place: a tracer would lose itself in their steps."""
    from torch import nn

    class Traced(nn.Module):
        def __init__(self, layer: Any) -> None:
            super().__init__()
            self.traced, self.layer = nn.Linear(layer.input_size, layer.hidden_size), type(layer)
            self.time = int(layer.batch_first)

        def forward(self, x: torch.Tensor, states: Any = None) -> Any:
            outputs = self.traced(x)
            last = outputs.select(self.time, -1)[None]
            return outputs, (last, last) if self.layer is nn.LSTM else last

    for name, layer in recurrent(module).items():
        module.set_submodule(name, Traced(layer))


def _level(name: str, layer: Any, level: int, owner: list[int]) -> list[Slices]:
    gates = layer.weight_hh_l0.shape[0] // layer.hidden_size
    rows = tuple(owner * gates)
    each = [f"{name}.{kind}_l{level}" for kind in ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if layer.bias else ()))]
    return [*(Slices(tensor, 0, rows) for tensor in each), Slices(f"{name}.weight_hh_l{level}", 1, tuple(owner))]
