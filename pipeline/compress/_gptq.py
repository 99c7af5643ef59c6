"""GPTQ (Frantar et al. 2022, arXiv:2210.17323): weights rounded one input after the other, the rest makes up for the error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.compress._grid import on_grid, scales
from pipeline.core import Array, Dataset, Family, Progress

if TYPE_CHECKING:
    import torch

DAMPING = 0.01
"""Of the Hessian's mean diagonal, added to it: inputs that hardly vary would make its inverse explode."""
BATCH = 16


def gptq(
    module: torch.nn.Module, family: Family, data: Dataset, index: Array, bits: int, group: int | None, progress: Progress
) -> set[str]:
    """Rounds the linear layers and convolutions that the training pass calls, in place; the names of their weights.

    One layer after the other, in the order of calls: each sees what those before it make once they are rounded. `index` are
    the samples of the training split.
    """
    import torch

    batches = [
        {name: torch.from_numpy(array) for name, array in data.batch("train", index[start : start + BATCH]).items()}
        for start in range(0, len(index), BATCH)
    ]
    names = _called(module, family, batches[0])
    for done, name in enumerate(names):
        progress(done, len(names), f"rounding {name}")
        layer: Any = module.get_submodule(name)
        hessians = _hessians(module, family, layer, batches)
        rows = layer.weight.data.flatten(1)
        parts = [rounded(part, each, bits, group) for part, each in zip(rows.chunk(len(hessians)), hessians, strict=True)]
        layer.weight.data.copy_(torch.cat(parts).view_as(layer.weight))
    return {f"{name}.weight" for name in names}


def rounded(weight: torch.Tensor, hessian: torch.Tensor, bits: int, group: int | None) -> torch.Tensor:
    """Weights [outputs, inputs] on the grid, for the hessian [inputs, inputs] of the layer's squared error.

    With U the upper Cholesky factor of the inverse hessian: an input's error e / U[i, i] is taken from the inputs j > i that
    are left, times U[i, j]. A group's steps are chosen as its first input's turn comes.
    """
    import torch

    damped = hessian.double()
    damped = damped + torch.eye(len(damped)) * max(DAMPING * float(damped.diagonal().mean()), torch.finfo(torch.float32).tiny)
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    left, made = weight.double(), torch.empty_like(weight)
    inputs = weight.shape[1]
    for start in range(0, inputs, group or inputs):
        end = start + (group or inputs)
        step = scales(left[:, start:end].float(), bits)
        for i in range(start, end):
            made[:, i : i + 1] = on_grid(left[:, i : i + 1].float(), step, bits)
            error = (left[:, i] - made[:, i]) / factor[i, i]
            left[:, i + 1 :] -= error[:, None] * factor[i, i + 1 :]
    return made


def _called(module: torch.nn.Module, family: Family, batch: dict[str, torch.Tensor]) -> list[str]:
    """Names of the layers that can be rounded so, in the order of their first calls."""
    import torch
    from torch import nn

    called: dict[str, None] = {}
    hooks = []
    for name, layer in module.named_modules():
        if type(layer) in (nn.Linear, nn.Conv1d, nn.Conv2d):
            hooks.append(layer.register_forward_hook(lambda *_, name=name: called.setdefault(name)))
    with torch.no_grad():
        family.forward(module, batch)
    for hook in hooks:
        hook.remove()
    return list(called)


def _hessians(
    module: torch.nn.Module, family: Family, layer: torch.nn.Module, batches: list[dict[str, torch.Tensor]]
) -> torch.Tensor:
    """The mean of x x^T over all that the layer sees [groups, inputs, inputs]; a convolution's groups have one each."""
    import torch

    total: Any = 0
    seen = 0

    def watch(_: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        nonlocal total, seen
        x = _columns(layer, arguments[0])
        total, seen = total + x @ x.transpose(1, 2), seen + x.shape[2]

    hook = layer.register_forward_pre_hook(watch)
    with torch.no_grad():
        for batch in batches:
            family.forward(module, batch)
    hook.remove()
    mean: torch.Tensor = total / seen
    return mean


def _columns(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """What a row of the weights is multiplied with, [groups, inputs, times]."""
    from torch import nn
    from torch.nn import functional

    if isinstance(layer, nn.Linear):
        return x.flatten(0, -2).T[None]
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    padded = functional.pad(x, layer._reversed_padding_repeated_twice)
    if isinstance(layer, nn.Conv1d):
        padded, kernel, stride, dilation = padded[:, :, None], (1, *kernel), (1, *stride), (1, *dilation)
    unfolded = functional.unfold(padded, kernel, dilation, 0, stride)
    return unfolded.transpose(0, 1).flatten(1).reshape(layer.groups, unfolded.shape[1] // layer.groups, -1)
