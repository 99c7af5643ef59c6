"""Pictures that a network makes of noise in many small steps, and how good they are. Numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import cos, pi, sin
from typing import final

import numpy as np

from models.tasks import _pictures
from models.tasks._generated import Generated
from pipeline.core import Array, Arrays, Detail, Example, Predict

STAGES, WAYS = 10, 5
"""Stages of a way from noise to a picture that are shown, and such ways, each to a class of its own."""


@final
@dataclass(frozen=True, kw_only=True)
class Diffusion(Generated):
    """Asks a graph {"noisy": float32 [N, C, H, W], "level": int64 [N], "label": int64 [N]} -> {"velocity": [N, C, H, W]}.

    At level l of `levels` a prepared picture x has become cos(a) x + sin(a) noise, a = pi / 2 * l / levels; the velocity is
    cos(a) noise - sin(a) x; label `classes` is none. From noise it goes down to level 0 in `steps` steps of nearly the same size,
    without new noise, each a turn by the angle between two levels: cos(turn) noisy - sin(turn) velocity. Pixels are cut off at
    dark and bright in the end only: cut off on the way, guided pictures became brighter with every step.
    Sources: J. Song et al., "Denoising diffusion implicit models" (2021, arXiv:2010.02502); by velocities, T. Salimans & J. Ho
    (2022, arXiv:2202.00512); guidance, J. Ho & T. Salimans (2022, arXiv:2207.12598).
    """

    denoiser: str
    shape: tuple[int, ...]
    """Of a picture: (C, H, W)."""
    levels: int
    steps: int
    guidance: float
    """The velocity of no class, and so many times what the class changes of it; 1 saves the call for no class."""

    def made(self, predictors: Mapping[str, Predict], labels: Array, random: np.random.Generator) -> Array:
        """`steps` calls, or twice as many, each for all of the pictures."""
        *_, picture = self._way(predictors, labels, random)
        return picture

    @property
    def calls(self) -> int:
        """One a step, or two where it is guided."""
        return self.steps if self.guidance == 1 else 2 * self.steps

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """And how often the network is asked for a picture."""
        return (*super().details(evidence), Detail("calls for a picture", self.calls))

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """The classes; and ways from noise to a picture, a line each: what the picture seems to be after some of the steps."""
        ways = list(self._way(predictors, np.arange(WAYS) % self.classes, np.random.default_rng(1)))
        chosen = np.linspace(0, self.steps - 1, min(STAGES, self.steps)).round().astype(int)
        shown = np.stack([ways[each] for each in chosen], axis=1).reshape(-1, *self.shape)
        which = ", ".join(str(each + 1) for each in chosen)
        return (
            *super().examples(predictors, samples),
            Example(f"{WAYS} ways from noise: after step {which} of {self.steps}", _pictures.generated(shown, len(chosen))),
        )

    def _way(self, predictors: Mapping[str, Predict], labels: Array, random: np.random.Generator) -> Iterator[Array]:
        """What the pictures seem to be after each step, brightness 0 to 1; the last is what they are."""
        noisy = random.standard_normal((len(labels), *self.shape), np.float32)
        for before, after in pairwise(way(self.levels, self.steps)):
            velocity = self._velocity(predictors, noisy, before, labels)
            angle, turn = (pi / 2 * levels / self.levels for levels in (before, before - after))
            picture = cos(angle) * noisy - sin(angle) * velocity
            noisy = (cos(turn) * noisy - sin(turn) * velocity).astype(np.float32)
            yield ((picture - self.dark) / (self.bright - self.dark)).clip(0, 1)

    def _velocity(self, predictors: Mapping[str, Predict], noisy: Array, level: int, labels: Array) -> Array:
        def asked(of: Array) -> Array:
            inputs = {"noisy": noisy, "level": np.full(len(noisy), level, np.int64), "label": of.astype(np.int64)}
            return predictors[self.denoiser](inputs)["velocity"]

        wanted = asked(labels)
        if self.guidance == 1:
            return wanted
        none = asked(np.full(len(noisy), self.classes))
        velocity: Array = none + self.guidance * (wanted - none)
        return velocity


def way(levels: int, steps: int) -> list[int]:
    """From noise, the highest of the levels, to a picture, level 0, in so many steps: steps + 1 levels."""
    found: list[int] = np.linspace(levels, 0, steps + 1).round().astype(int).tolist()
    return found
