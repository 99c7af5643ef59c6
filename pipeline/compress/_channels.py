"""Groups of coupled channels, found by tracing: DepGraph (Fang et al. 2023, arXiv:2301.12900; the Torch-Pruning library)."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

from pipeline.compress import _hidden_units
from pipeline.compress._slices import Group, Slices, depthwise
from pipeline.core import Domain, Spec, TensorSpec, Unsupported
from pipeline.export._trace import REFUSALS

if TYPE_CHECKING:
    import torch

SHUFFLED = "Shuffle"
"""In the name of what makes pixels of channels: whose number must stay a multiple."""


def groups(module: torch.nn.Module, family: Spec, domain: Domain) -> list[list[Group]]:
    """Lists of groups that lose as many units each. What reaches an output, or a layer of a kind unknown here, stays.

    A module that takes the data's inputs is traced whole, another by the graphs that are deployed of it.
    """
    import torch
    import torch_pruning

    traced = copy.deepcopy(module).cpu()
    _hidden_units.replace_by_linear(traced)
    for each in traced.modules():  # our own modules as in training: a step function has a gradient to trace only then
        each.training = any(True for _ in each.children())
    traced.eval = lambda: traced  # type: ignore[method-assign]  # which the tracer calls
    inputs = _zeros(domain.inputs)
    deployed = None if _takes(traced, inputs) else list(family.build().graphs(traced, domain).values())

    def through(module: torch.nn.Module, inputs: Any) -> Any:
        if deployed is None:
            return module(*inputs)
        outputs = [graph.module(*_zeros(graph.inputs)) for graph in deployed]
        return [each for some in outputs for each in (some if isinstance(some, tuple) else (some,)) if each.requires_grad]

    try:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.filterwarnings("error", "Maximum recursive depth")  # groups would be cut short
            graph = torch_pruning.DependencyGraph()
            graph.build_dependency(traced, inputs, through, output_transform=_behind_the_outputs, verbose=False)
            found = list(graph.get_all_groups(root_module_types=[torch.nn.Conv2d, torch.nn.Linear]))
    except (*REFUSALS, UserWarning) as error:
        raise Unsupported(f"prune_structured cannot trace the model: {type(error).__name__}: {error}") from error
    names = {each: name for name, each in (*traced.named_modules(), *traced.named_parameters())}
    recurrent = _hidden_units.recurrent(module)
    made = [group for each in found if (group := _group(module, each, names)) is not None]
    return [[each, *_levels(each, recurrent)] for each in made]


def _zeros(specs: Mapping[str, TensorSpec]) -> tuple[torch.Tensor, ...]:
    """An input of each."""
    import torch

    return tuple(torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in specs.values())


def _takes(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> bool:
    """Whether a module can be called with so many inputs."""
    try:
        signature(module.forward).bind(*inputs)
    except TypeError:
        return False
    return True


def _behind_the_outputs(outputs: Any) -> list[torch.Tensor]:
    """An operation of its own behind each output that has channels, so that a group that ends there can be told from others."""
    return [each * 1 for each in (outputs if isinstance(outputs, (tuple, list)) else [outputs]) if each.dim() > 1]


def _levels(group: Group, recurrent: dict[str, Any]) -> list[Group]:
    """The lower levels of the recurrent layers whose outputs are in a group."""
    mine = {each.tensor.rpartition(".")[0] for each in group.slices if ".weight_hh_l" in each.tensor}
    return [level for name, layer in recurrent.items() if name in mine for level in _hidden_units.inner(name, layer)]


def _group(module: torch.nn.Module, found: Any, names: dict[Any, str]) -> Group | None:
    """Torch-Pruning's group as slices of tensors; None for one that has to stay."""
    from torch_pruning import ops

    slices: list[Slices] = []
    for item in found:
        node = item.dep.target
        if node.type == ops.OPTYPE.OUTPUT or SHUFFLED in str(node.name):
            return None
        if node.module in names:  # what is not there is an operation, which has no tensors
            output = item.dep.handler.__name__ == "prune_out_channels"
            mine = _slices(module, names[node.module], output, node.pruning_dim, item.idxs, item.root_idxs)
            if mine is None:
                return None
            slices += mine
    return Group(len(found[0].idxs), tuple(slices))


def _slices(
    module: torch.nn.Module, name: str, output: bool, dim: int, index: list[int], units: list[int]
) -> list[Slices] | None:
    """The slices of one layer whose channels `index` belong to these units; None for a layer of a kind unknown here."""
    from torch import nn

    def owner(size: int) -> list[int]:
        every = [-1] * size
        for each, unit in zip(index, units, strict=True):
            every[each] = unit
        return every

    if name.endswith(_hidden_units.TRACED):
        name = name.removesuffix(_hidden_units.TRACED)
        layer: Any = module.get_submodule(name)
        side, size = (_hidden_units.outputs, layer.hidden_size) if output else (_hidden_units.inputs, layer.input_size)
        return side(name, layer, owner(size))
    if name in dict(module.named_parameters()):
        return [Slices(name, dim, tuple(owner(module.get_parameter(name).shape[dim])))]
    layer = module.get_submodule(name)
    whole = isinstance(layer, nn.modules.batchnorm._BatchNorm) or (isinstance(layer, nn.Conv2d) and depthwise(layer))
    if not whole and not isinstance(layer, nn.Linear) and not (isinstance(layer, nn.Conv2d) and layer.groups == 1):
        return None
    if whole or output:
        held = ("weight", "bias", "running_mean", "running_var")
        tensors = {each: found for each in held if (found := getattr(layer, each, None)) is not None}
        return [Slices(f"{name}.{each}", 0, tuple(owner(len(tensor)))) for each, tensor in tensors.items()]
    return [Slices(f"{name}.weight", 1, tuple(owner(layer.weight.shape[1])))]
