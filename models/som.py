"""Self-organizing map (Kohonen, 1982): a sheet of prototypes that spreads over the data, neighbours on it staying neighbours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast, final

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.nn import functional

from models.tasks.vector_quantization import VectorQuantization
from pipeline.core import Dataset, Domain, Family, Graph, Train


@final
@dataclass(frozen=True)
class SOM(Family):
    """Units j on a grid with prototypes w_j; for a sample x the nearest prototype's unit b wins.

    Training minimises L = 1/2 sum_j h_j ||x - w_j||^2, with the neighbourhood h_j = exp(-||g_j - g_b||^2 / (2 r^2)) of the
    winner's place g_b on the grid held constant. Then dL/dw_j = -h_j (x - w_j), and a step of plain SGD at the rate a,
    w_j <- w_j + a h_j (x - w_j), is Kohonen's rule; of a batch it takes the mean. The radius r shrinks exponentially while
    training. Source: T. Kohonen, "Self-organized formation of topologically correct feature maps" (1982).
    """

    rows: Annotated[int, Ge(1)] = 10
    columns: Annotated[int, Ge(2)] = 10
    first_radius: Annotated[float, Gt(0)] = 3.0
    """In grid steps."""
    last_radius: Annotated[float, Gt(0)] = 0.3
    """Smaller fits the samples closer and keeps the map less in order: 0.5 to 0.3 is 6 % less error, and twice the disorder."""

    # Anything but plain SGD would not be Kohonen's rule.
    presets: ClassVar = {
        name: Train(
            epochs=epochs,
            batch=batch,
            learning_rate=0.5,
            optimizer="sgd",
            momentum=0,
            weight_decay=0,
            warmup=0,
            clip=None,
            augment=False,
        )
        for name, epochs, batch in (("quick", 5, 1), ("full", 20, 1))
    }

    def build(self, domain: Domain) -> nn.Module:
        """Input [N, ...] -> best unit int64 [N], second-best unit int64 [N], best prototype [N, features]."""
        (shape,) = (spec.shape for spec in domain.inputs.values())
        return Map(self.rows, self.columns, math.prod(shape), self.first_radius)

    def begin(self, module: nn.Module, data: Dataset, seed: int) -> None:
        """Prototypes start as training samples."""
        codebook = module.get_parameter("codebook")
        chosen = np.resize(np.random.default_rng(seed).permutation(data.size("train")), len(codebook))
        (name,) = data.domain.inputs
        samples = data.batch("train", chosen)[name].reshape(len(chosen), -1)
        with torch.no_grad():
            codebook.copy_(torch.from_numpy(samples))

    def pace(self, module: nn.Module, done: float) -> None:
        """Sets the radius."""
        module.get_buffer("radius").fill_(self.first_radius * (self.last_radius / self.first_radius) ** done)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Squared distance to every prototype, and how much each is a neighbour of the winner: [N, units] both."""
        x, codebook = next(iter(batch.values())).flatten(1), cast(torch.Tensor, module.codebook)
        distance = (x[:, None] - codebook).square().sum(2)
        winner = module.get_buffer("place")[distance.detach().argmin(1)]
        apart = (module.get_buffer("place") - winner[:, None]).square().sum(2)
        return {"distance": distance, "neighbourhood": (-apart / (2 * module.get_buffer("radius") ** 2)).exp()}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Mean over the samples of 1/2 sum_j h_j ||x - w_j||^2."""
        return 0.5 * (outputs["neighbourhood"] * outputs["distance"]).sum(1).mean()

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The lookup is deployed: which unit, and what it stands for."""
        return {"map": Graph(module, domain.inputs, ("unit", "second", "prototype"))}

    def task(self, domain: Domain) -> VectorQuantization:
        """Mean distance to the best prototype."""
        return VectorQuantization("map", next(iter(domain.inputs)), self.rows, self.columns)


class Map(nn.Module):
    """The prototypes, and the units' places on the grid."""

    place: torch.Tensor
    radius: torch.Tensor

    def __init__(self, rows: int, columns: int, features: int, radius: float) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(rows * columns, features))
        grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
        self.register_buffer("place", grid.float())
        self.register_buffer("radius", torch.tensor(radius))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Input [N, ...] -> best unit [N], second-best unit [N], the best one's prototype [N, features]."""
        # The nearest prototype has the largest w.x - ||w||^2 / 2, for ||x - w||^2 = ||x||^2 - 2 (w.x - ||w||^2 / 2).
        score = functional.linear(image.flatten(1), self.codebook, -0.5 * self.codebook.square().sum(1))
        best = score.topk(2).indices
        return best[:, 0], best[:, 1], self.codebook[best[:, 0]]
