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
from models._picture import shape_of
from models.tasks.diffusion import Diffusion as Task
from pipeline.core import Domain, Family, Graph, TensorSpec

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
        """The network. UserError for what has no labelled pictures of sides that fit."""
        return self.network(shape_of(domain, self.called, self.divisor, labelled=True), domain.classes)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The velocity that is found and the true one, both [N, C, H, W]."""
        picture, label = only_input(batch), batch["label"]
        rows = torch.arange(len(picture), device=picture.device)
        place = (rows / len(picture) + torch.rand(1, device=picture.device)) % 1
        level = 1 + (place * LEVELS).long().clamp(max=LEVELS - 1)
        angle = (level * (math.pi / 2 / LEVELS)).to(picture.dtype)[:, None, None, None]
        noise = torch.randn_like(picture)
        label = label.masked_fill(torch.rand_like(place) < self.unlabelled, cast("Denoiser", module).none)
        found = module(angle.cos() * picture + angle.sin() * noise, level, label)
        return {"velocity": found, "true": angle.cos() * noise - angle.sin() * picture}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Mean squared error."""
        return functional.mse_loss(outputs["velocity"], outputs["true"])

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
