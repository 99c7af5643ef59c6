"""A critic that is trained against a generator in the same steps: what makes it better is turned round on the way back."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: torch.Tensor, weight: float) -> torch.Tensor:
        context.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -context.weight * gradient, None


def turned(x: torch.Tensor, weight: float) -> torch.Tensor:
    """x, whose gradient is turned round and weighed: what follows is made better, what came before is made worse at it.

    One loss then trains both sides of a game (Ganin & Lempitsky 2015, "Unsupervised domain adaptation by backpropagation",
    arXiv:1409.7495), and the one training loop needs no second optimizer.
    """
    found: torch.Tensor = _Turned.apply(x, weight)  # type: ignore[no-untyped-call]
    return found


class Critic(nn.Module):
    """Pictures [N, C, H, W] -> a number each, larger for what it takes for real: three convolutions that halve, and a sum."""

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        sizes = (channels, width, 2 * width, 4 * width)
        self.halved = nn.ModuleList(nn.Conv2d(before, after, 4, 2, 1) for before, after in pairwise(sizes))
        self.last = nn.Linear(sizes[-1], 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """[N]."""
        for layer in self.halved:
            pictures = functional.leaky_relu(layer(pictures), 0.2)
        scores: torch.Tensor = self.last(pictures.mean(dim=(2, 3)))[:, 0]
        return scores


def judged(critic: nn.Module, real: torch.Tensor, made: torch.Tensor, weight: float, penalty: float = 10.0) -> torch.Tensor:
    """The critic's loss, whose gradient reaches what was made turned round and times `weight`.

    E[D(made)] - E[D(real)] + penalty * E[(|dD/dx| - 1)^2], x between the two: a critic of slope 1 measures how far apart they are
    (Gulrajani et al. 2017, "Improved training of Wasserstein GANs", arXiv:1704.00028).
    """
    share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
    between = (share * real + (1 - share) * made).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    steep = (slopes.flatten(1).norm(dim=1) - 1).square().mean()
    loss: torch.Tensor = critic(turned(made, weight)).mean() - critic(real).mean() + penalty * steep
    return loss
