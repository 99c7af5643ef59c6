"""The evidence lower bound of a variational autoencoder: how many nats its encoder and decoder need for a picture. Numpy only."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.tasks import _mean, _pictures
from pipeline.core import Array, Arrays, Detail, Example, Predict

COLUMNS, ROWS, STEPS = 10, 4, 10
"""Of the pictures that are made of noise, and of a way from one picture to another."""


@dataclass(frozen=True)
class Elbo(_mean.Averaged):
    """Mean of -log p(x|z) + KL(q(z|x) || p(z)), nats a picture, one z drawn for each: an upper bound on -log p(x).

    Each pixel of x is drawn, 1 with its brightness as the chance. What is drawn follows from the pictures themselves, so every
    file and device is asked the same. Source: D. Kingma & M. Welling (2014, arXiv:1312.6114), equation 10.
    """

    encoder: str
    decoder: str
    input: str
    dark: float
    """What the prepared pixels lie between."""
    bright: float
    metric: ClassVar[str] = "negative_elbo"
    unit: ClassVar[str] = "nats"
    higher_is_better: ClassVar[bool] = False
    margin: ClassVar[float] = 0.5

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Prepared pictures [N, C, H, W] -> evidence float64 [N]: {"reconstruction", "divergence"} in nats, and {"error"}."""
        pictures = np.ascontiguousarray(samples[self.input])
        random = np.random.default_rng(zlib.crc32(pictures.tobytes()))
        chance = _pictures.brightness(pictures, self.dark, self.bright)
        pixels = (random.random(pictures.shape, np.float32) < chance).astype(np.float32)
        found = predictors[self.encoder]({self.input: pixels})
        mean, log_variance = (found[name].astype(np.float64) for name in ("mean", "log_variance"))
        latent = mean + np.exp(log_variance / 2) * random.standard_normal(mean.shape)
        logits = predictors[self.decoder]({"latent": latent.astype(np.float32)})["logits"].astype(np.float64)
        divergence = (np.exp(log_variance) + np.square(mean) - 1 - log_variance).sum(axis=1) / 2
        error = np.square(chances(logits) - chance).reshape(len(logits), -1).mean(axis=1)
        return {"reconstruction": missed(logits, pixels), "divergence": divergence, "error": error}

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """Pictures made of noise, the given ones made again, and a way from the first to the second by their latent numbers."""
        given = _pictures.brightness(samples[self.input], self.dark, self.bright).astype(np.float32)
        means = predictors[self.encoder]({self.input: given})["mean"]
        noise = np.random.default_rng(0).standard_normal((ROWS * COLUMNS, means.shape[1])).astype(np.float32)
        shares = np.linspace(0, 1, STEPS, dtype=np.float32)[:, None]
        ends = _pictures.sheet(given[:2], 2)
        return (
            Example(f"{len(noise)} times {means.shape[1]} random numbers", self._made(predictors, noise, COLUMNS)),
            Example(_pictures.sheet(given, len(given)), self._made(predictors, means, len(means))),
            *(
                [Example(ends, self._made(predictors, (1 - shares) * means[:1] + shares * means[1:2], STEPS))]
                if len(means) > 1
                else ()
            ),
        )

    def _made(self, predictors: Mapping[str, Predict], latent: Array, columns: int) -> str:
        """The pictures' chances as brightness."""
        logits = predictors[self.decoder]({"latent": latent})["logits"].astype(np.float64)
        return _pictures.generated(chances(logits), columns)

    def numbers(self, evidence: Arrays) -> tuple[Array, Array]:
        """The sum of both parts."""
        return _mean.alike(evidence["reconstruction"] + evidence["divergence"])

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """The two parts, apart, and how far the chances are from the brightness, for those who judge by that."""
        return (
            *(_mean.detail(f"{name}, nats", *_mean.alike(evidence[name])) for name in ("reconstruction", "divergence")),
            _mean.detail("reconstruction error", *_mean.alike(evidence["error"])),
        )


def chances(logits: Array) -> Array:
    """Of pixels to be 1."""
    found: Array = 1 / (1 + np.exp(-logits.clip(-50, 50)))
    return found


def missed(logits: Array, pixels: Array) -> Array:
    """-log p of pixels of 0 and 1 whose chances to be 1 have these logits, summed over a picture's pixels: float64 [N].

    >>> missed(np.array([[0.0, 0.0]]), np.array([[0.0, 1.0]])) / np.log(2)
    array([2.])
    """
    each = np.logaddexp(0, logits) - pixels * logits
    total: Array = each.reshape(len(each), -1).sum(axis=1)
    return total
