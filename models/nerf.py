"""Neural radiance field: a scene as a function from a place and a direction to a density and a colour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, cast, final

import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.nn import functional

from models.tasks.rendering import Rendering
from pipeline.core import Domain, Family, Graph, TensorSpec, Train
from pipeline.errors import UserError


@final
@dataclass(frozen=True)
class NeRF(Family):
    """Dense layers over sines and cosines of a place; what they find, and the direction, makes the colour.

    Minimises the squared error of the colours of rays, each the sum over `samples` places along it, drawn one in each of as many
    equal parts from `near` to `far`; white is behind everything.
    Source: B. Mildenhall et al., "NeRF: Representing scenes as neural radiance fields for view synthesis" (2020,
    arXiv:2003.08934), with one network instead of a coarse and a fine one.
    """

    hidden: Annotated[int, Gt(0)] = 128
    """Units of the three hidden layers; half as many make the colour."""
    frequencies: Annotated[int, Ge(1)] = 7
    """Sines and cosines of each coordinate, each of twice the frequency of the one before."""
    samples: Annotated[int, Ge(2)] = 48
    near: Annotated[float, Ge(0)] = 1.7
    far: Annotated[float, Gt(0)] = 4.3
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the hidden units."""

    presets: ClassVar = {
        "quick": Train(epochs=1, batch=64, samples=16_000, learning_rate=3e-3, weight_decay=0.0),
        "full": Train(epochs=12, batch=256, learning_rate=3e-3, weight_decay=0.0),
    }

    def __post_init__(self) -> None:
        """Places lie between two ends."""
        if self.far <= self.near:
            raise UserError(f"nerf: far = {self.far} must be more than near = {self.near}")

    def build(self, domain: Domain) -> nn.Module:
        """The field, and the places along rays that it is asked for."""
        if set(domain.inputs) != {"origin", "direction"}:
            raise UserError(f"nerf: {domain.name} has no rays (origin and direction); it has {', '.join(domain.inputs)}")
        return Scene(Field(max(2, round(self.hidden * self.width)), self.frequencies), self.near, self.far, self.samples)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The colours [N, 3] of a batch of rays."""
        origin, scene = batch["origin"], cast("Scene", module)
        depths = scene.depths(torch.rand(len(origin), self.samples, device=origin.device))
        colour, density = scene.along(origin, batch["direction"], depths)
        lengths = torch.diff(depths, append=torch.full_like(depths[:, :1], self.far))
        passed = density * lengths
        weights = torch.exp(-(passed.cumsum(dim=1) - passed)) * (1 - torch.exp(-passed))
        return {"colour": (weights[..., None] * colour).sum(dim=1) + (1 - weights.sum(dim=1, keepdim=True))}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Mean squared error."""
        return functional.mse_loss(outputs["colour"], batch["colour"])

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The field at all places of a ray."""
        inputs = {"points": TensorSpec((1, self.samples, 3)), "direction": TensorSpec((1, 3))}
        return {"field": Graph(cast("Scene", module).field, inputs, ("colour", "density"))}

    def task(self, domain: Domain) -> Rendering:
        """Peak signal-to-noise ratio of views."""
        return Rendering("field", self.near, self.far, self.samples)


class Scene(nn.Module):
    """A field, seen along rays."""

    def __init__(self, field: nn.Module, near: float, far: float, samples: int) -> None:
        super().__init__()
        self.field, self.near, self.part, self.samples = field, near, (far - near) / samples, samples

    def depths(self, inside: torch.Tensor) -> torch.Tensor:
        """Of places [N, samples], each so far inside of its part of the ray, 0 to 1."""
        return self.near + (torch.arange(self.samples, device=inside.device) + inside) * self.part

    def along(self, origin: torch.Tensor, direction: torch.Tensor, depths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Colours [N, samples, 3] and densities [N, samples] at depths [N, samples] of rays [N, 3]."""
        found: tuple[torch.Tensor, torch.Tensor] = self.field(origin[:, None] + depths[..., None] * direction[:, None], direction)
        return found

    def forward(self, origin: torch.Tensor, direction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same in the middle of each part."""
        return self.along(origin, direction, self.depths(torch.full_like(origin[:, :1], 0.5)))


class Field(nn.Module):
    """Places [N, samples, 3] and directions [N, 3] -> colours [N, samples, 3], densities [N, samples]."""

    waves: torch.Tensor

    def __init__(self, hidden: int, frequencies: int) -> None:
        super().__init__()
        self.register_buffer("waves", math.pi / 2 * 2.0 ** torch.arange(frequencies))
        sizes = (3 + 6 * frequencies, hidden, hidden, hidden)
        self.body = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.density = nn.Linear(hidden, 1)
        self.seen = nn.Linear(hidden + 3, max(1, hidden // 2))
        self.colour = nn.Linear(max(1, hidden // 2), 3)

    def forward(self, points: torch.Tensor, direction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Colours 0 to 1, densities of at least 0."""
        angles = (points[..., None] * self.waves).flatten(2)
        found = torch.cat([points, angles.sin(), angles.cos()], dim=2)
        for layer in self.body:
            found = functional.relu(layer(found))
        density = functional.softplus(self.density(found)[..., 0])
        towards = direction[:, None].expand(-1, points.shape[1], -1)
        seen = functional.relu(self.seen(torch.cat([found, towards], dim=2)))
        return torch.sigmoid(self.colour(seen)), density
