"""Training with weights and activations as a quantized file will have them, while the float weights learn underneath."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.compress._grid import Widths, nearest, put
from pipeline.compress._tuning import Batch, Loss, taught, tuned
from pipeline.compress._weights import weights
from pipeline.core import Context, Family

if TYPE_CHECKING:
    import torch

RANGE = "input_range"
SMOOTHING = 0.99
"""Of an observed range: it forgets a batch after some hundred others."""


def rounded(module: torch.nn.Module, widths: Widths, group: int | None = None) -> torch.nn.Module:
    """A copy whose weights are on their grids; Unsupported where the groups do not fit."""
    copied = copy.deepcopy(module)
    put(copied, widths, group)
    return copied


def trained_rounded(
    module: torch.nn.Module,
    family: Family,
    context: Context,
    widths: Widths,
    *,
    group: int | None = None,
    activations: bool = False,
    teacher: float = 0.0,
    epochs: int | None = None,
    learning_rate: float | None = None,
) -> torch.nn.Module:
    """A copy that was trained with rounded weights (and inputs of layers, with `activations`) and has them; zeros are kept."""
    from pipeline.train import tuning

    copied = copy.deepcopy(module)
    if epochs != 0:
        # The best epoch of a validation would be one of the float weights: all epochs are run.
        options = replace(tuning(context.train, epochs, learning_rate), patience=None)
        restore = round_inputs(copied) if activations else None
        tuned(copied, family, options, context, rounding_loss(taught(family, context, teacher), widths, group))
        if restore:
            restore()
    put(copied, widths, group)
    return copied


def straight_through(weight: torch.Tensor, bits: int, group: int | None = None) -> torch.Tensor:
    """The weight on its grid, with the gradient of the float one: 1 everywhere (Bengio et al. 2013, arXiv:1308.3432)."""
    values = weight.detach()
    return weight + (nearest(values, bits, group) - values)


def rounding_loss(loss: Loss, widths: Widths, group: int | None = None) -> Loss:
    """The same loss of the module whose weights lie on their grids; gradients reach the float weights."""
    import torch

    class Call(torch.nn.Module):
        """The loss as a module's forward pass, which is what torch can run with other weights."""

        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, batch: Batch) -> torch.Tensor:
            return loss(self.module, batch)

    def rounding(module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        found = weights(module)
        others = {f"module.{name}": straight_through(found[name], bits, group) for name, bits in widths.items()}
        value: torch.Tensor = torch.func.functional_call(Call(module), others, (batch,))
        return value

    return rounding


def round_inputs(module: torch.nn.Module) -> Callable[[], None]:
    """Rounds what reaches linear layers and convolutions to 8 bits a tensor; returns what takes that away again.

    The range is the moving average of what training batches have (Jacob et al. 2018, arXiv:1712.05877), zero in it.
    """
    from torch import nn

    hooks = []
    watched = [layer for layer in module.modules() if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d))]
    for layer in watched:
        layer.add_module(RANGE, _rounded_activation())
        hooks.append(layer.register_forward_pre_hook(_through_range))

    def restore() -> None:
        for hook in hooks:
            hook.remove()
        for layer in watched:
            delattr(layer, RANGE)

    return restore


def _through_range(layer: torch.nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return (layer.get_submodule(RANGE)(arguments[0]), *arguments[1:])


def _rounded_activation() -> torch.nn.Module:
    import torch

    class RoundedActivation(torch.nn.Module):
        """x -> (clamp(round(x / s) + z, 0, 255) - z) * s; the gradient is 1 inside the range and 0 outside."""

        low: torch.Tensor
        high: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            # Buffers, so that a resumed training has the same ranges.
            self.register_buffer("low", torch.zeros(()))
            self.register_buffer("high", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                self._observe(x.detach())
            step = ((self.high - self.low) / 255).clamp(min=torch.finfo(torch.float32).tiny)
            zero = (-self.low / step).round().clamp(0, 255).int()
            return torch.fake_quantize_per_tensor_affine(x, step, zero, 0, 255)

        def _observe(self, x: torch.Tensor) -> None:
            low, high = (each.float() for each in torch.aminmax(x))
            weight = 1 - SMOOTHING if bool(self.high > self.low) else 1.0
            self.low.lerp_(low.clamp(max=0), weight)
            self.high.lerp_(high.clamp(min=0), weight)

    return RoundedActivation()
