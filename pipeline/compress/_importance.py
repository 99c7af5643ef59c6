"""How much each unit of a group matters: by its weights, by what the loss would lose, or by its BatchNorm scale."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from pipeline.compress._slices import Group

if TYPE_CHECKING:
    import torch

Importance = Literal["magnitude", "taylor", "batchnorm"]
Score = Callable[[Group], "torch.Tensor | None"]
"""Float [units]; None for a group that cannot be judged, and so stays."""


def magnitude(module: torch.nn.Module) -> Score:
    """sqrt(mean of w^2 over a unit's slices of weights), divided by its group's mean, so that layers compare."""
    import torch

    squares = {name: weight.detach() ** 2 for name, weight in module.named_parameters() if weight.dim() >= 2}

    def score(group: Group) -> torch.Tensor | None:
        total, count = _gathered(group, squares, torch.mean)
        root = (total / count.clamp(min=1)).sqrt()
        return root / root.mean().clamp(min=1e-12)

    return score


def taylor(module: torch.nn.Module, family: Any, batches: Iterable[dict[str, torch.Tensor]]) -> Score:
    """Sum over a unit's weights of (g w)^2, the mean over batches: to first order the squared change of the loss without each.

    Molchanov et al. 2019, arXiv:1906.10771, equation 8 summed over the unit. Not the square of the sum, their other form: behind
    a convolution with BatchNorm the loss does not change with a filter's scale, so that its g w add up to zero.
    """
    import torch

    module.eval()  # no dropout, and BatchNorm as it is deployed
    products = {name: torch.zeros_like(weight) for name, weight in module.named_parameters()}
    for batch in batches:
        module.zero_grad(set_to_none=True)
        with torch.enable_grad():
            family.loss(family.forward(module, batch), batch).backward()
        for name, weight in module.named_parameters():
            if weight.grad is not None:
                products[name] += (weight.grad * weight.detach()) ** 2
    module.zero_grad(set_to_none=True)
    return lambda group: _gathered(group, products, torch.sum)[0]


def batchnorm(module: torch.nn.Module) -> Score:
    """|gamma|, the mean over the BatchNorm layers of a group (Liu et al. 2017, arXiv:1708.06519); groups without one stay."""
    import torch

    scales = {f"{name}.weight": layer.weight.detach().abs() for name, layer in normalised(module).items()}

    def score(group: Group) -> torch.Tensor | None:
        total, count = _gathered(group, scales, torch.mean)
        return total / count if bool((count > 0).all()) else None

    return score


def normalised(module: torch.nn.Module) -> dict[str, Any]:
    """The BatchNorm layers that have a scale, by name."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return {name: each for name, each in module.named_modules() if isinstance(each, _BatchNorm) and each.weight is not None}


def _gathered(
    group: Group, values: dict[str, torch.Tensor], reduce: Callable[[torch.Tensor, int], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each unit the sum over its slices of their reduced values, and how many slices these are: float [units] twice."""
    import torch

    total, count = torch.zeros(group.units), torch.zeros(group.units)
    for each in group.slices:
        if each.tensor in values:
            tensor, owner = values[each.tensor].transpose(0, each.dim), torch.tensor(each.owner)
            mine = owner >= 0
            total.index_add_(0, owner[mine], reduce(tensor.reshape(len(tensor), -1), 1)[mine].to(total))
            count.index_add_(0, owner[mine], torch.ones(int(mine.sum())))
    return total, count
