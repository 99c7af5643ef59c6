"""Pictures that one call of a generator makes of noise and a class. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from models.tasks import _pictures
from models.tasks._generated import Generated
from pipeline.core import Array, Arrays, Example, Predict

STEPS, WAYS = 10, 4
"""Pictures on a way from one to another, and such ways."""


@final
@dataclass(frozen=True, kw_only=True)
class FromNoise(Generated):
    """Asks a graph {"latent": float32 [N, latent], "kind": float32 [N, classes]} -> {"pictures": brightness [N, C, H, W]}.

    `kind` is 1 at the class that is wanted and 0 at others; shares of two classes lie between them.
    """

    generator: str
    latent: int

    def made(self, predictors: Mapping[str, Predict], labels: Array, random: np.random.Generator) -> Array:
        """One call, of standard normal noise."""
        return drawn(predictors[self.generator], labels, self.classes, random.standard_normal((len(labels), self.latent)))

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """The classes; ways from one picture to another of its class, and from one class to the next with the same noise."""
        return (*super().examples(predictors, samples), *ways(predictors[self.generator], self.classes, self.latent))


def drawn(predict: Predict, labels: Array, classes: int, latent: Array) -> Array:
    """Pictures [N, C, H, W] of classes [N] and noise [N, latent]."""
    return _made(predict, np.eye(classes)[labels], latent)


def ways(predict: Predict, classes: int, latent: int) -> tuple[Example, Example]:
    """A row a way: within a class from noise to other noise, and from a class to the next, the noise being the same."""
    share = np.linspace(0, 1, STEPS)[None, :, None]
    first, last = np.random.default_rng(1).standard_normal((2, WAYS, 1, latent))
    kind, following = (np.eye(classes)[(np.arange(WAYS) + more) % classes][:, None] for more in (0, 1))
    within = _made(predict, np.broadcast_to(kind, (WAYS, STEPS, classes)), between(first, last, share))
    across = _made(predict, (1 - share) * kind + share * following, np.broadcast_to(first, (WAYS, STEPS, latent)))
    return (
        Example(f"{WAYS} ways within a class", _pictures.generated(within, STEPS)),
        Example(f"{WAYS} ways from a class to the next", _pictures.generated(across, STEPS)),
    )


def between(first: Array, last: Array, share: Array) -> Array:
    """Of normal vectors [..., latent] those on a way along a sphere, which are as long as others: a chord passes too near 0.

    Source: K. Shoemake, "Animating rotation with quaternion curves" (1985).

    >>> between(np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.5])).round(3)
    array([0.707, 0.707])
    """
    length = np.linalg.norm(first, axis=-1, keepdims=True) * np.linalg.norm(last, axis=-1, keepdims=True)
    angle = np.arccos(((first * last).sum(axis=-1, keepdims=True) / length).clip(-1, 1))
    way: Array = (np.sin((1 - share) * angle) * first + np.sin(share * angle) * last) / np.sin(angle)
    return way


def _made(predict: Predict, kind: Array, latent: Array) -> Array:
    """Of any leading axes, as one batch."""
    inputs = {"latent": latent, "kind": kind}
    return predict({name: each.reshape(-1, each.shape[-1]).astype(np.float32) for name, each in inputs.items()})["pictures"]
