"""How good pictures are that were made of a label and noise: made in numpy, anywhere, and looked at by torch, on the host."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np

from models.tasks import _frechet, _pictures
from models.tasks._mean import half
from models.tasks.classification import wilson
from pipeline.core import Array, Arrays, Detail, Domain, Example, Predict, Task

SEEDS = 4
"""Pictures of each class that are shown."""
TAUGHT = 1000
"""Fewer pictures teach a classifier nothing that would be worth saying."""
TOGETHER = 1000
"""Pictures that an eye looks at in one go."""
KEPT = 8
"""Piles of pictures whose features are remembered: value, interval, difference and details look at the same ones."""


@dataclass(frozen=True, kw_only=True)
class Generated(Task):
    """Abstract. The Fréchet distance of made pictures from the test split's, in what the last layer of our own LeNet-5 sees.

    It is no Inception distance and compares with none. Its floor (one half of the real pictures from the other) and its ceiling
    (noise) stand beside it, and: the accuracy on the test split of our LeNet-5 taught by the made pictures alone (Ravuri &
    Vinyals 2019, "Classification accuracy score for conditional generative models", arXiv:1905.10887); precision and recall; and
    how often the eye sees the class that was asked for.
    """

    data: str
    """Of the eye that looks (models/_eye.py)."""
    input: str
    dark: float
    """What prepared pixels lie between."""
    bright: float
    classes: int
    each: int = 2
    """Pictures that are made for a row."""
    every: int = 1
    """So many rows share them, where making is slow."""
    metric: ClassVar[str] = "lenet5_frechet_distance"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    margin: ClassVar[float] = 3.0

    @classmethod
    def of(cls, domain: Domain, **own: Any) -> Self:
        """The judge for a domain of labelled pictures, with what the subclass wants to know."""
        assert domain.pixels is not None  # a family that cannot do without pictures has said so
        (name,) = domain.inputs
        dark, bright = domain.pixels
        return cls(data=domain.name, input=name, dark=dark, bright=bright, classes=domain.classes, **own)

    @abstractmethod
    def made(self, predictors: Mapping[str, Predict], labels: Array, random: np.random.Generator) -> Array:
        """Pictures [N, C, H, W] of classes int64 [N], brightness 0 to 1."""

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """{"made": uint8 [N, each, C, H, W], "real": uint8 [N, C, H, W], "label": int64 [N], "asked": bool [N]}, 0 to 255."""
        real, labels = np.ascontiguousarray(samples[self.input]), samples["label"].astype(np.int64)
        asked = np.arange(len(labels)) % self.every == 0
        wanted = labels[asked].repeat(self.each)
        pictures = self.made(predictors, wanted, np.random.default_rng(zlib.crc32(real.tobytes())))
        made = np.zeros((len(real), self.each, *real.shape[1:]), np.uint8)
        made[asked] = _pictures.levels(pictures).reshape(-1, self.each, *real.shape[1:])
        seen = _pictures.levels(_pictures.brightness(real, self.dark, self.bright))
        return {"made": made, "real": seen, "label": labels, "asked": asked}

    def value(self, evidence: Arrays) -> float:
        """The distance."""
        return _frechet.frechet(self._made(evidence), self._real(evidence))

    def interval(self, evidence: Arrays) -> tuple[float, float]:
        """By its derivative: 95 %, rows being independent of each other."""
        found, wide = self.value(evidence), half(self._influence(evidence))
        return max(0.0, found - wide), found + wide

    def difference(self, evidence: Arrays, reference: Arrays) -> tuple[float, float, float]:
        """Paired: the same noise, the same real pictures; worse is negative."""
        delta = self.value(reference) - self.value(evidence)
        wide = half(self._influence(reference) - self._influence(evidence))
        return delta, delta - wide, delta + wide

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """Floor, ceiling, what it teaches, precision, recall, and whether the classes are those that were asked for."""
        pictures, wanted = self._pictures(evidence), evidence["label"][evidence["asked"]].repeat(self.each)
        (made, logits), real = self._look(pictures), self._real(evidence)
        noise = np.random.default_rng(0).integers(0, 256, evidence["real"].shape, np.uint8)
        among, covered = _frechet.coverage(made, real)
        return (
            Detail("floor of the distance (real from real)", _frechet.frechet(real[::2], real[1::2])),
            Detail("ceiling of the distance (noise)", _frechet.frechet(self._look(noise)[0], real)),
            *self._taught(evidence, pictures, wanted),
            _share("precision of the pictures", among),
            _share("recall of the pictures", covered),
            _share("agreement with the class asked for", logits.argmax(axis=1) == wanted),
        )

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """A column a class, the same noise whatever was done to the network."""
        labels = np.tile(np.arange(self.classes), SEEDS)
        pictures = self.made(predictors, labels, np.random.default_rng(0))
        return (Example(f"the {self.classes} classes, {SEEDS} times", _pictures.generated(pictures, self.classes)),)

    def _taught(self, evidence: Arrays, pictures: Array, wanted: Array) -> tuple[Detail, ...]:
        if len(pictures) < TAUGHT:
            return ()
        from models._taught import right

        correct = right(self.classes, pictures, wanted, evidence["real"], evidence["label"])
        return (_share(f"accuracy of LeNet-5 taught by {len(pictures):,} of them (CAS)", correct),)

    def _influence(self, evidence: Arrays) -> Array:
        """Of each row: of its own picture, and of those that were made for it."""
        made, real = _frechet.influence(self._made(evidence), self._real(evidence))
        rows, asked = real.copy(), evidence["asked"]
        rows[asked] += made.reshape(-1, self.each).mean(axis=1) * len(asked) / asked.sum()
        return rows

    def _pictures(self, evidence: Arrays) -> Array:
        """Those that were asked for, [N, C, H, W]."""
        asked: Array = evidence["made"][evidence["asked"]]
        return asked.reshape(-1, *asked.shape[2:])

    def _made(self, evidence: Arrays) -> Array:
        return self._look(self._pictures(evidence))[0]

    def _real(self, evidence: Arrays) -> Array:
        return self._look(evidence["real"])[0]

    def _look(self, pictures: Array) -> tuple[Array, Array]:
        """Features and logits of pictures of 0 to 255."""
        return _looked(self.data, self.dark, self.bright, pictures.shape, pictures.tobytes())


@lru_cache(maxsize=KEPT)
def _looked(data: str, dark: float, bright: float, shape: tuple[int, ...], pixels: bytes) -> tuple[Array, Array]:
    import torch

    from models._eye import eye

    looks, found = eye(data), []
    levels = np.frombuffer(pixels, np.uint8).reshape(shape)
    with torch.no_grad():
        for start in range(0, len(levels), TOGETHER):
            prepared = levels[start : start + TOGETHER].astype(np.float32) / 255 * (bright - dark) + dark
            *_, features, logits = looks.layers(torch.from_numpy(prepared))
            found.append((features.numpy(), logits.numpy()))
    return np.concatenate([features for features, _ in found]), np.concatenate([logits for _, logits in found])


def _share(metric: str, true: Array) -> Detail:
    return Detail(metric, float(true.mean()), *wilson(int(true.sum()), len(true)))
