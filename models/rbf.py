"""Radial basis function network (Broomhead & Lowe, 1988): how near an input is to each of some prototypes decides its class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
import torch
from annotated_types import Gt
from torch import nn
from torch.nn import functional

from models._classifier import Classifier
from pipeline.core import Array, Dataset, Domain, Train

MOST_SAMPLES = 10_000
"""k-means sees so many of the training samples at most."""


@final
@dataclass(frozen=True)
class RBF(Classifier):
    """Gaussian units exp(-||x - c||^2 / (2 s^2)), each with its centre c and width s, and a linear layer to the logits.

    Centres start as k-means of the training samples, widths as the distance to the nearest other centre (Moody & Darken 1989,
    "Fast Learning in Networks of Locally-Tuned Processing Units"); then all are trained together by gradient.
    """

    centres: Annotated[int, Gt(0)] = 200
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the centres."""

    presets: ClassVar = {
        "quick": Train(epochs=30, batch=64, samples=2048, learning_rate=2e-2, augment=False),
        "full": Train(epochs=100, batch=64, learning_rate=1e-2, augment=False),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Image [N, C, H, W] -> logits [N, classes]."""
        (image,) = domain.inputs.values()
        return GaussianNetwork(math.prod(image.shape), max(2, round(self.centres * self.width)), domain.classes)

    def begin(self, module: nn.Module, data: Dataset, seed: int) -> None:
        """Centres and widths from the training samples."""
        generator = np.random.default_rng(seed)
        chosen = np.sort(generator.permutation(data.size("train"))[:MOST_SAMPLES])
        (name,) = data.domain.inputs
        samples = data.batch("train", chosen)[name].reshape(len(chosen), -1)
        parameter = module.get_parameter
        centres = k_means(samples, len(parameter("centre")), generator)
        distance = _squared_distance(centres, centres)
        np.fill_diagonal(distance, np.inf)
        with torch.no_grad():
            parameter("centre").copy_(torch.from_numpy(centres))
            nearest = distance.min(axis=1)
            parameter("log_width").copy_(torch.from_numpy(0.5 * np.log(np.maximum(nearest, np.median(nearest)))))


class GaussianNetwork(nn.Module):
    """Gaussian units over the flattened input, and a linear layer. Distances come from one matrix product."""

    def __init__(self, features: int, centres: int, classes: int) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.randn(centres, features))
        self.log_width = nn.Parameter(torch.full((centres,), 0.5 * math.log(features)))
        self.head = nn.Linear(centres, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Input [N, ...] -> logits [N, classes]."""
        x = image.flatten(1)
        # ||x - c||^2 = ||x||^2 - 2 x.c + ||c||^2
        distance = x.square().sum(1, keepdim=True) + functional.linear(x, -2 * self.centre, self.centre.square().sum(1))
        near = (-0.5 * distance * (-2 * self.log_width).exp()).exp()
        logits: torch.Tensor = self.head(near)
        return logits


def k_means(samples: Array, clusters: int, generator: np.random.Generator, rounds: int = 20) -> Array:
    """Centres [clusters, features] by Lloyd's algorithm (1982), starting from samples drawn without replacement.

    A cluster that loses all its samples keeps its centre. With fewer samples than clusters some start twice, slightly apart.
    """
    # Not scikit-learn's: its threads add up in an order that changes from run to run, and so does its last bit.
    points = samples.astype(np.float64)
    order = np.resize(generator.permutation(len(points)), clusters)
    centres = points[order] + 1e-3 * generator.standard_normal((clusters, points.shape[1])) * (clusters > len(points))
    for _ in range(rounds):
        owner = _squared_distance(points, centres).argmin(axis=1)
        counts = np.bincount(owner, minlength=clusters)
        sums = np.zeros_like(centres)
        np.add.at(sums, owner, points)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    return centres.astype(np.float32)


def _squared_distance(first: Array, second: Array) -> Array:
    """[N, D] and [M, D] -> [N, M], never negative."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    squares: Array = np.square(first).sum(1)[:, None] - 2 * first @ second.T + np.square(second).sum(1)
    return np.maximum(squares, 0)
