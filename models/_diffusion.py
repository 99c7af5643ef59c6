"""What diffusion models share: pictures that turn into noise step by step, and a network that is asked for the way back."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import nn
from torch.nn import functional

from models._batch import only_input
from models._denoiser import LEVELS, Denoiser
from models._eye import shape_for
from models.tasks.diffusion import Diffusion as Task
from models.tasks.diffusion import way
from pipeline.core import Domain, Family, Graph, TensorSpec
from pipeline.errors import UserError

EVERY = 16
"""Of so many test samples one has pictures made: exported files make them one by one, with `steps` calls each."""


@dataclass(frozen=True)
class Diffusion(Family):
    """Abstract: a family only says what its network is.

    A prepared picture x (mean 0, variance 1) becomes cos(a) x + sin(a) noise at angles a from 0, the picture, to pi / 2, noise.
    Minimises the squared error of the velocity cos(a) noise - sin(a) x, which is where the sum moves as the angle grows: picture
    and noise follow from both, at any angle. Angles are spread evenly over a batch. The label of some samples is hidden, so that
    the network also knows pictures of no class, from which a sampler can be guided away.
    Sources: J. Ho et al., "Denoising diffusion probabilistic models" (2020, arXiv:2006.11239); cosines, A. Nichol & P. Dhariwal,
    "Improved denoising diffusion probabilistic models" (2021, arXiv:2102.09672), here without their offset; velocities,
    T. Salimans & J. Ho, "Progressive distillation for fast sampling of diffusion models" (2022, arXiv:2202.00512); spread angles,
    D. Kingma et al., "Variational diffusion models" (2021, arXiv:2107.00630); hidden labels, J. Ho & T. Salimans,
    "Classifier-free diffusion guidance" (2022, arXiv:2207.12598).
    """

    unlabelled: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Share of the training samples whose label is hidden."""
    steps: Annotated[int, Ge(1), Le(LEVELS)] = 50
    """From noise to a picture, where the model is judged."""
    guidance: Annotated[float, Gt(0)] = 1.0
    """Where it is judged: above 1 classes are clearer, pictures more alike, and each step is two calls instead of one."""

    called: ClassVar[str]
    """As recipes call the family."""

    @property
    @abstractmethod
    def divisor(self) -> int:
        """What the pictures' sides must be multiples of."""

    @abstractmethod
    def network(self, shape: tuple[int, ...], classes: int) -> Denoiser:
        """For pictures of shape (C, H, W)."""

    def build(self, domain: Domain) -> nn.Module:
        """The network. UserError for what has no labelled pictures of sides that fit, or no eye."""
        shape = shape_for("lenet5", domain, self.called, self.divisor, labelled=True)
        if self.guidance != 1 and not self.unlabelled:
            asked = f"{self.called}: guidance = {self.guidance:g} asks for pictures of no class"
            raise UserError(f"{asked}, and unlabelled = 0 hides no label; it must be above 0")
        return self.network(shape, domain.classes)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The velocity that is found and the true one, both [N, C, H, W]."""
        picture, noise = only_input(batch), torch.randn_like(only_input(batch))
        level = 1 + _spread(LEVELS, picture)
        angle = _angle(level, picture)
        found = module(angle.cos() * picture + angle.sin() * noise, level, self._shown(module, batch["label"]))
        return {"velocity": found, "true": angle.cos() * noise - angle.sin() * picture}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Mean squared error."""
        return functional.mse_loss(outputs["velocity"], outputs["true"])

    def twice(self, module: nn.Module, batch: Mapping[str, torch.Tensor], theirs: Diffusion, teacher: nn.Module) -> torch.Tensor:
        """Of one of `steps` steps: the error of its velocity, where the true one leads to where two steps of a teacher lead.

        z at angle a of its levels, z" where two steps of the teacher lead, at angle b:

            v = (cos(a - b) z - z") / sin(a - b),  loss = mean (velocity(z, a) - v)^2

        (Salimans & Ho 2022, in velocities). `theirs` says how much the teacher's velocities are guided; this one's are not.
        """
        picture, noise = only_input(batch), torch.randn_like(only_input(batch))
        label = self._shown(module, batch["label"])
        levels = torch.tensor(way(LEVELS, 2 * self.steps), device=picture.device)
        first = 2 * _spread(self.steps, picture)
        start, middle, end = (_angle(levels[first + each], picture) for each in range(3))
        noisy = start.cos() * picture + start.sin() * noise
        with torch.no_grad():
            there = noisy
            for step, turn in ((first, start - middle), (first + 1, middle - end)):
                there = turn.cos() * there - turn.sin() * theirs.guided(teacher, there, levels[step], label)
        turn = start - end
        true = (turn.cos() * noisy - there) / turn.sin()
        return functional.mse_loss(module(noisy, levels[first], label), true)

    def guided(self, module: nn.Module, noisy: torch.Tensor, level: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The velocity [N, C, H, W] by which it goes when it is judged."""
        found: torch.Tensor = module(noisy, level, label)
        if self.guidance == 1:
            return found
        none: torch.Tensor = module(noisy, level, torch.full_like(label, cast("Denoiser", module).none))
        return none + self.guidance * (found - none)

    def _shown(self, module: nn.Module, label: torch.Tensor) -> torch.Tensor:
        """The labels, some of them hidden."""
        hidden = torch.rand(len(label), device=label.device) < self.unlabelled
        return label.masked_fill(hidden, cast("Denoiser", module).none)

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The network: one step of many."""
        (picture,) = domain.inputs.values()
        one = TensorSpec((1,), "int64")
        return {"denoiser": Graph(module, {"noisy": picture, "level": one, "label": one}, ("velocity",))}

    def task(self, domain: Domain) -> Task:
        """The Fréchet distance of what it makes from real pictures, and what else tells how good they are."""
        (spec,) = domain.inputs.values()
        return Task.of(
            domain,
            every=EVERY,
            denoiser="denoiser",
            shape=spec.shape[1:],
            levels=LEVELS,
            steps=self.steps,
            guidance=self.guidance,
        )


def _spread(count: int, like: torch.Tensor) -> torch.Tensor:
    """A number below `count` for each row [N], all about as often."""
    rows = torch.arange(len(like), device=like.device)
    place = (rows / len(like) + torch.rand(1, device=like.device)) % 1
    return (place * count).long().clamp(max=count - 1)


def _angle(level: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Of levels [N]: [N, 1, 1, 1]."""
    return (level * (math.pi / 2 / LEVELS)).to(like.dtype)[:, None, None, None]
