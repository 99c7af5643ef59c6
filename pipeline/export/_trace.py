"""What every exporter needs of a graph before converting it: proof that its module runs on its declared inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core import Arrays, Graph
from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch

REFUSALS = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError, ArithmeticError)
"""What code that others wrote (a user's module, a converter) raises when it does not take what it is given."""


def examples(graph: Graph) -> Arrays:
    """Zeros of every declared input: valid values whatever an input means (an index, a mask, a picture)."""
    arrays = {}
    for name, spec in graph.inputs.items():
        try:
            arrays[name] = np.zeros(spec.shape, spec.dtype)
        except (TypeError, ValueError) as error:
            raise UserError(f"graph input {name!r} is declared as {spec.dtype} {spec.shape}: {error}") from error
    return arrays


def run(graph: Graph, arrays: Arrays) -> Arrays:
    """Runs the module in evaluation mode; its outputs by name.

    The module gets the arrays positionally in declared order and returns a tensor, a tuple in declared order or a
    dictionary with the declared names. Anything else is a UserError.
    """
    import torch

    module = graph.module.eval()
    try:
        device = next(module.parameters(), torch.empty(0)).device
        arguments = [torch.from_numpy(np.ascontiguousarray(arrays[name])).to(device) for name in graph.inputs]
        with torch.no_grad():
            returned = module(*arguments)
    except REFUSALS as error:
        said = f"{type(error).__name__}: {_first_line(error)}"
        raise UserError(f"{_title(graph)} does not accept its declared inputs ({_declared(graph)}): {said}") from error
    return {name: value.detach().cpu().numpy() for name, value in zip(graph.outputs, _ordered(graph, returned), strict=True)}


def exportable(graph: Graph) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    """The module and example inputs to convert, after they have run once. Its outputs come in declared order."""
    import torch

    arrays = examples(graph)
    run(graph, arrays)

    class InOrder(torch.nn.Module):
        """Makes the outputs of the module a tuple in declared order: converters flatten a dictionary in theirs."""

        def __init__(self) -> None:
            super().__init__()
            self.module = graph.module

        def forward(self, *arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(_ordered(graph, self.module(*arguments)))

    return InOrder().eval(), tuple(torch.from_numpy(array) for array in arrays.values())


def refusal(what: str, error: BaseException) -> str:
    """One line about a converter that gave up: its own first line says most, the rest is a trace of its insides."""
    return f"{what}: {type(error).__name__}: {_first_line(error)}"


def _ordered(graph: Graph, returned: Any) -> list[torch.Tensor]:
    import torch

    if isinstance(returned, dict):
        if set(returned) != set(graph.outputs):
            raise UserError(f"{_title(graph)} declares outputs {_names(graph.outputs)} but returns {_names(returned)}")
        values = [returned[name] for name in graph.outputs]
    else:
        values = list(returned) if isinstance(returned, (tuple, list)) else [returned]
    if len(values) != len(graph.outputs):
        count = f"{len(values)} output{'s' if len(values) != 1 else ''}"
        raise UserError(f"{_title(graph)} declares outputs {_names(graph.outputs)} but returns {count}")
    for name, value in zip(graph.outputs, values, strict=True):
        if not isinstance(value, torch.Tensor):
            raise UserError(f"{_title(graph)} returns a {type(value).__name__} for output {name!r}; a tensor is needed")
    return values


def _title(graph: Graph) -> str:
    return f"module {type(graph.module).__name__}"


def _names(names: Any) -> str:
    return ", ".join(repr(name) for name in names)


def _declared(graph: Graph) -> str:
    return ", ".join(f"{name}: {spec.dtype} {list(spec.shape)}" for name, spec in graph.inputs.items())


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
