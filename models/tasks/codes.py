"""Pictures as grids of codes: how near they come back, how many codes are of use, and how many bits they take. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.tasks import _mean, _pictures, decode
from pipeline.core import Array, Arrays, Detail, Example, Predict

ROWS = 4
"""Pictures of each class among the examples."""
LABEL = "label"


@dataclass(frozen=True)
class Codes(_mean.Averaged):
    """Mean squared error of pictures made again from their codes, brightness 0 to 1, mean over pixels and pictures.

    Beside it: the share of codes that any picture has; their perplexity exp(-sum p log p), p how often each is taken, which is
    the number of codes if all are taken alike; and -sum log2 p(code | codes before it, label), the bits that an entropy coder
    with the prior needs for a picture. Source: A. van den Oord et al. (2017, arXiv:1711.00937).
    """

    input: str
    codes: int
    classes: int
    dark: float
    """What the prepared pixels lie between."""
    bright: float
    encoder: str = "encoder"
    decoder: str = "decoder"
    prior: str = "prior"
    metric: ClassVar[str] = "reconstruction_error"
    unit: ClassVar[str] = "squared brightness"
    higher_is_better: ClassVar[bool] = False
    margin: ClassVar[float] = 0.0005

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Prepared pictures [N, C, H, W], labels [N] -> a row each: {"error", "bits"} float64, {"codes"} int64 [N, h w]."""
        pictures = samples[self.input]
        codes = predictors[self.encoder]({self.input: pictures})["codes"].astype(np.int64)
        made = predictors[self.decoder]({"codes": codes})[self.input]
        logits = predictors[self.prior]({"codes": codes, "label": samples[LABEL].astype(np.int64)})["logits"]
        chances = np.take_along_axis(decode.log_softmax(np.moveaxis(logits, 1, -1)), codes[..., None], axis=-1)
        error = np.square(self._brightness(made) - self._brightness(pictures))
        return {
            "error": error.reshape(len(error), -1).mean(axis=1),
            "bits": -chances.reshape(len(codes), -1).sum(axis=1) / np.log(2),
            "codes": codes.reshape(len(codes), -1),
        }

    def numbers(self, evidence: Arrays) -> tuple[Array, Array]:
        """Squared errors of each picture."""
        return _mean.alike(evidence["error"])

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """The codes' use, and bits."""
        counts = np.bincount(evidence["codes"].ravel())
        taken = counts[counts > 0] / counts.sum()
        return (
            Detail("rate of codes in use", len(taken) / self.codes),
            Detail("perplexity of the codes", float(np.exp(-(taken * np.log(taken)).sum()))),
            _mean.detail("bits a picture under the prior", *_mean.alike(evidence["bits"])),
            Detail("bits a picture without a prior", evidence["codes"].shape[1] * float(np.log2(self.codes))),
        )

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """The first pictures made again, and pictures of codes that the prior draws: a column is a class."""
        pictures = samples[self.input]
        codes = predictors[self.encoder]({self.input: pictures})["codes"].astype(np.int64)
        labels = np.tile(np.arange(self.classes), ROWS)
        made = drawn(predictors[self.prior], labels, codes.shape[1:], np.random.default_rng(0))
        return (
            Example(_pictures.sheet(self._brightness(pictures), len(pictures)), self._made(predictors, codes, len(codes))),
            Example(f"{ROWS} times each of {self.classes} classes", self._made(predictors, made, self.classes)),
        )

    def _made(self, predictors: Mapping[str, Predict], codes: Array, columns: int) -> str:
        return _pictures.generated(self._brightness(predictors[self.decoder]({"codes": codes})[self.input]), columns)

    def _brightness(self, pictures: Array) -> Array:
        """0 to 1, as a screen shows them."""
        return _pictures.brightness(pictures.astype(np.float64), self.dark, self.bright)


def drawn(prior: Predict, labels: Array, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Codes int64 [N, h, w] of these classes [N], each drawn by its chance given those before it: h w calls."""
    codes = np.zeros((len(labels), *shape), np.int64)
    for row, column in np.ndindex(*shape):
        logits = prior({"codes": codes, "label": labels.astype(np.int64)})["logits"][:, :, row, column]
        codes[:, row, column] = decode.drawn(logits.astype(np.float64), random)
    return codes
