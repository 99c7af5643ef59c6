"""Pictures that a decoder makes of noise and a class, and given ones made again of what an encoder finds. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from models.tasks import _mean, _pictures
from models.tasks._generated import Generated
from models.tasks.from_noise import drawn, ways
from pipeline.core import Array, Arrays, Detail, Example, Predict


@final
@dataclass(frozen=True, kw_only=True)
class Reconstruction(Generated):
    """Asks `from_noise`'s graph of a decoder, and an encoder {"pictures": brightness} -> {"mean": float32 [N, latent], ...}.

    Beside the distance of what is made of noise stands the mean squared error, over pixels of brightness 0 to 1, of given
    pictures made again of the means that the encoder finds and of their class.
    """

    latent: int
    decoder: str = "decoder"
    encoder: str = "encoder"

    def made(self, predictors: Mapping[str, Predict], labels: Array, random: np.random.Generator) -> Array:
        """One call of the decoder, of standard normal noise."""
        return drawn(predictors[self.decoder], labels, self.classes, random.standard_normal((len(labels), self.latent)))

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """As every judge of made pictures, and {"error": float64 [N]}."""
        given = self._brightness(samples)
        error = np.square(self._again(predictors, samples, given).astype(np.float64) - given).reshape(len(given), -1).mean(axis=1)
        return {**super().collect(predictors, samples), "error": error}

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """And the reconstruction error."""
        error = _mean.detail("reconstruction error", *_mean.alike(evidence["error"]))
        return (error, *super().details(evidence))

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """The classes, given pictures made again, and ways between made ones."""
        given = self._brightness(samples)
        return (
            *super().examples(predictors, samples),
            Example(_pictures.sheet(given, len(given)), _pictures.generated(self._again(predictors, samples, given), len(given))),
            *ways(predictors[self.decoder], self.classes, self.latent),
        )

    def _brightness(self, samples: Arrays) -> Array:
        return _pictures.brightness(samples[self.input], self.dark, self.bright).astype(np.float32)

    def _again(self, predictors: Mapping[str, Predict], samples: Arrays, given: Array) -> Array:
        means = predictors[self.encoder]({"pictures": given})["mean"]
        return drawn(predictors[self.decoder], samples["label"].astype(np.int64), self.classes, means)
