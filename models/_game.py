"""What families that make pictures of noise and a class share: the game of a generator against a critic that knows the class."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from models import _adversary
from models._batch import only_input
from models.tasks.from_noise import FromNoise
from pipeline.core import Domain, Graph, TensorSpec

GAME: dict[str, Any] = {"batch": 64, "betas": (0.0, 0.99), "weight_decay": 0.0, "clip": None, "augment": False}
"""Of a training of two networks against each other: what one of them gained is no hint at where the other goes next, so that a
mean of past gradients misleads; and moved pictures would be other pictures than those whose likeness is asked for."""


class Adversarial(_adversary.Watched):
    """Abstract: a family says how its generator is built, from latent [N, latent] and kind [N, classes] to pictures [N, C, H, W].

    Pictures are brightness, 0 to 1. The critic's score of real ones less that of made ones is what the critic makes larger and
    the generator smaller, in the same steps, while the critic is held to a slope of 1 (`_adversary.judged`). The critic is not
    deployed.
    """

    latent: int
    """Random numbers, standard normal."""
    critic: int
    """Channels of the critic's first layer; the next have twice and four times as many."""
    penalty: float
    """On slopes of the critic that are not 1."""

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Pictures made for the batch's classes [N, C, H, W], and the critic's loss."""
        game = cast("Game", module)
        real, kind = game.real(batch)
        made = game(torch.randn(len(real), self.latent, device=real.device), kind)
        if module.training:
            game.variety.see(made, real)
        return {"pictures": made, "judged": _adversary.judged(lambda x: game.critic(x, kind), real, made, 1.0, self.penalty)}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The critic's, which trains both."""
        return outputs["judged"]

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The generator alone; shares of two classes in `kind` make what lies between them."""
        inputs = {"latent": TensorSpec((1, self.latent)), "kind": TensorSpec((1, domain.classes))}
        return {"generator": Graph(cast("Game", module).generator, inputs, ("pictures",))}

    def task(self, domain: Domain) -> FromNoise:
        """The Fréchet distance from real pictures, and what else tells how good they are."""
        return FromNoise.of(domain, generator="generator", latent=self.latent)

    @abstractmethod
    def build(self, domain: Domain) -> Game:
        """Generator and critic. UserError for what has no labelled pictures."""


class Game(nn.Module):
    """A generator, the critic that it is trained against, and what the pixels of prepared pictures lie between."""

    dark: torch.Tensor
    bright: torch.Tensor

    def __init__(self, generator: nn.Module, domain: Domain, critic: int) -> None:
        super().__init__()
        assert domain.pixels is not None  # `build` says so
        (spec,) = domain.inputs.values()
        self.generator = generator
        self.critic = Critic(spec.shape[1:], domain.classes, critic)
        self.classes = domain.classes
        self.variety = _adversary.Variety()
        for name, value in zip(("dark", "bright"), domain.pixels, strict=True):
            self.register_buffer(name, torch.tensor(value))

    def real(self, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch's pictures as brightness, 0 to 1, and their classes [N, classes], 1 at each's own."""
        brightness = (only_input(batch) - self.dark) / (self.bright - self.dark)
        return brightness, functional.one_hot(batch["label"], self.classes).to(brightness.dtype)

    def forward(self, latent: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """The generator's pictures."""
        pictures: torch.Tensor = self.generator(latent, kind)
        return pictures


class Critic(nn.Module):
    """Pictures [N, C, H, W] and shares of classes [N, classes] -> a number each, larger for what it takes for real ones of them.

    The score is w.f + (V kind).f, f what three convolutions that halve see.
    Source: T. Miyato & M. Koyama, "cGANs with projection discriminator" (2018, arXiv:1802.05637).
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int) -> None:
        super().__init__()
        channels, height, across = shape
        self.body = nn.Sequential(*_adversary.halving(channels, width), nn.Flatten())
        seen = 4 * width * (height // 8) * (across // 8)
        self.last = nn.Linear(seen, 1)
        self.kind = nn.Linear(classes, seen, bias=False)
        nn.init.normal_(self.kind.weight, std=seen**-0.5)

    def forward(self, pictures: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """[N]."""
        features = self.body(2 * pictures - 1)
        scores: torch.Tensor = self.last(features)[:, 0] + (self.kind(kind) * features).sum(dim=1)
        return scores
