"""A critic that is trained against a generator in the same steps: what makes it better is turned round on the way back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import torch
from torch import nn

from pipeline.core import Family
from pipeline.errors import UserError

COLLAPSED, WATCHED, STEPS = 0.05, 0.1, 20
"""What varies by so little of what real pictures do has collapsed, if it does so for so many steps, one after the other, of a
training of which so much is done: before, a generator may make nothing but darkness for a while."""


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


def halving(channels: int, width: int) -> nn.Sequential:
    """Three convolutions of a critic, each to half of the sides: [N, channels, H, W] -> [N, 4 width, H / 8, W / 8]."""
    sizes = pairwise((channels, width, 2 * width, 4 * width))
    layers = [(nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)) for before, after in sizes]
    return nn.Sequential(*(layer for each in layers for layer in each))


class Critic(nn.Module):
    """Pictures [N, C, H, W] -> a number each, larger for what it takes for real: convolutions that halve, and a mean."""

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        self.body = halving(channels, width)
        self.last = nn.Linear(4 * width, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """[N]."""
        scores: torch.Tensor = self.last(self.body(pictures).mean(dim=(2, 3)))[:, 0]
        return scores


def judged(
    critic: Callable[[torch.Tensor], torch.Tensor], real: torch.Tensor, made: torch.Tensor, weight: float, penalty: float = 10.0
) -> torch.Tensor:
    """The critic's loss, whose gradient reaches what was made turned round and times `weight`.

    E[D(made)] - E[D(real)] + penalty * E[(|dD/dx| - 1)^2], x between the two: a critic of slope 1 measures how far apart they are
    (Gulrajani et al. 2017, "Improved training of Wasserstein GANs", arXiv:1704.00028).
    """
    share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
    trained = torch.is_grad_enabled()
    with torch.enable_grad():  # slopes are asked for where nothing is trained, too
        between = (share * real + (1 - share) * made).detach().requires_grad_()
        (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=trained)
    steep = (slopes.flatten(1).norm(dim=1) - 1).square().mean()
    loss: torch.Tensor = critic(turned(made, weight)).mean() - critic(real).mean() + penalty * steep
    return loss


class Variety:
    """Of what one training makes. A generator of which the critic wants one picture makes that one, and rarely finds back."""

    def __init__(self) -> None:
        self.alike, self.done = 0, 0.0

    def see(self, made: torch.Tensor, real: torch.Tensor) -> None:
        """One step's pictures [N, ...]. UserError for a mode collapse."""
        spread, wanted = (float(each.detach().std(dim=0, correction=0).mean()) for each in (made, real))
        self.alike = self.alike + 1 if spread < COLLAPSED * wanted else 0
        if self.done >= WATCHED and self.alike >= STEPS:
            raise UserError(
                f"training: mode collapse after {100 * self.done:.0f} % of it: for {self.alike} steps made pictures vary "
                f"by less than {100 * COLLAPSED:.0f} % of what real ones do, now by {spread:.2g} a pixel where those do by "
                f"{wanted:.2g}; lower the learning rate, or make the critic stronger"
            )


class Watched(Family):
    """Abstract: a family with a critic, whose modules have a `variety` that looks at what each step of the training makes."""

    def pace(self, module: nn.Module, done: float) -> None:
        """Tells it how much of the training is done; another training of the same module counts anew."""
        variety: Variety = cast("Any", module).variety
        variety.done = done
        if not done:
            variety.alike = 0
