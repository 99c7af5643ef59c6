"""Layers of +-1 as they are trained: signs forwards, and backwards the gradient of something smoother."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

Estimator = Literal["sign", "polynomial"]


def sign(x: torch.Tensor) -> torch.Tensor:
    """+1 where x is at least 0, else -1: never 0, for a bit has no third value."""
    return torch.where(x >= 0, 1.0, -1.0)


def surrogate(x: torch.Tensor, estimator: Estimator) -> torch.Tensor:
    """What the sign is taken for when gradients are computed; beyond +-1 it is flat.

    sign: clip(x, -1, 1), so dy/dx = 1 within +-1 (Hubara et al. 2016, "Binarized Neural Networks", arXiv:1602.02830).
    polynomial: 2x + x^2 below 0 and 2x - x^2 above, so dy/dx = 2 - 2|x| (Liu et al. 2018, "Bi-Real Net", arXiv:1808.00278).
    """
    near = x.clamp(-1, 1)
    return near if estimator == "sign" else near * (2 - near.abs())


def estimated(x: torch.Tensor, estimator: Estimator) -> torch.Tensor:
    """The sign of x, with the surrogate's gradient."""
    smooth = surrogate(x, estimator)
    return sign(x).detach() + (smooth - smooth.detach())


class Binary(nn.Module):
    """What binary layers share: y = scale * (sign(norm(x)) (*) sign(W)) + bias, norm a BatchNorm, scale one number an output.

    The norm is what makes thresholds of the signs: folded into whole numbers, it costs nothing where the layer is deployed.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, features: int, estimator: Estimator) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        # The scale that loses least is the mean magnitude (Rastegari et al. 2016, arXiv:1603.05279); from there it is trained.
        self.scale = nn.Parameter(weight.detach().abs().flatten(1).mean(dim=1))
        self.bias = nn.Parameter(torch.zeros(len(weight)) if bias is None else bias.detach().clone())
        self.norm = nn.BatchNorm1d(features)
        self.estimator: Estimator = estimator
        self.real_weights = False
        """While a progressive training has not come to the weights yet."""

    def signs(self) -> torch.Tensor:
        """The weights as they are computed with."""
        if self.real_weights:
            return self.weight / self.weight.detach().abs().flatten(1).mean(dim=1).view(-1, *[1] * (self.weight.dim() - 1))
        return estimated(self.weight, "sign") if self.training else sign(self.weight)

    def _trained_on(self, x: torch.Tensor) -> torch.Tensor:
        """The inputs as they are trained with."""
        return estimated(self.norm(x.flatten(2) if x.dim() > 2 else x).view(x.shape), self.estimator)

    def normed(self, x: torch.Tensor) -> torch.Tensor:
        """What a trained layer takes the signs of, of x [N, features, ...]: each number by one product and one sum.

        BatchNorm itself rounds otherwise for other numbers of samples, and then a sign at its threshold would depend on them.
        """
        norm: Any = self.norm
        factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        shape = (-1, *[1] * (x.dim() - 2))
        normed: torch.Tensor = x * factor.view(shape) + (norm.bias - norm.running_mean * factor).view(shape)
        return normed

    def inputs(self, x: torch.Tensor) -> torch.Tensor:
        """The inputs as they are computed with."""
        return self._trained_on(x) if self.training else sign(self.normed(x))


class BinaryLinear(Binary):
    """Of x [..., features]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., outputs]."""
        signs = self.inputs(x.reshape(-1, x.shape[-1])).view(x.shape)
        return functional.linear(signs, self.signs()) * self.scale + self.bias


class BinaryConv2d(Binary):
    """Of x [N, C, H, W]; what lies beyond the edge is 0, neither +1 nor -1."""

    def __init__(self, layer: nn.Conv2d, estimator: Estimator) -> None:
        super().__init__(layer.weight, layer.bias, layer.in_channels, estimator)
        assert not isinstance(layer.padding, str)  # `binarizable` says so
        (down, right), (high, wide) = layer.stride, layer.padding
        self.stride, self.pad, self.groups = (down, right), (int(high), int(wide)), layer.groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, outputs, H', W']."""
        sums = functional.conv2d(self.inputs(x), self.signs(), None, self.stride, self.pad, 1, self.groups)
        return sums * self.scale[:, None, None] + self.bias[:, None, None]


def products(layers: Iterable[Binary], run: Callable[[], object]) -> int:
    """Multiply-accumulates of +-1, a sample, of what is run."""
    found = 0

    def count(layer: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal found
        assert isinstance(layer, Binary)
        found += output[0].numel() * layer.weight[0].numel()

    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def binarizable(layer: nn.Module) -> bool:
    """Linear layers and plain 2-d convolutions."""
    if isinstance(layer, nn.Conv2d):
        return layer.padding_mode == "zeros" and layer.dilation == (1, 1) and not isinstance(layer.padding, str)
    return isinstance(layer, nn.Linear)


def depthwise(layer: nn.Module) -> bool:
    """Whether each of its outputs sees a single channel."""
    return isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.weight.shape[1] == 1


def binarized(layer: nn.Module, estimator: Estimator) -> Binary:
    """The binary layer that takes the place of this one, with its weights to begin with."""
    if isinstance(layer, nn.Conv2d):
        return BinaryConv2d(layer, estimator)
    assert isinstance(layer, nn.Linear)
    return BinaryLinear(layer.weight, layer.bias, layer.in_features, estimator)
