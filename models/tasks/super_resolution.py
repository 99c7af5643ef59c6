"""Super-resolution: how near enlarged pictures come to those that they were made smaller from. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.tasks import _mean, _pictures
from models.tasks._decibels import decibels
from models.tasks._resampling import resized
from pipeline.core import Array, Arrays, Detail, Example, Predict


@dataclass(frozen=True)
class SuperResolution(_mean.Averaged):
    """Peak signal-to-noise ratio -10 log10(mean squared error), dB, all colours, brightness 0 to 1; its mean over pictures.

    A picture is made smaller by cubic interpolation and enlarged by the network. What cubic interpolation makes of the same small
    picture costs nothing: the gain over it stands beside the metric, and how sharp the pictures are, for blurred ones have the
    higher ratio: the mean difference of neighbouring pixels over that of the original.
    """

    graph: str
    input: str
    scale: int
    dark: float
    """What the prepared pixels lie between."""
    bright: float
    metric: ClassVar[str] = "psnr"
    unit: ClassVar[str] = "dB"
    higher_is_better: ClassVar[bool] = True
    margin: ClassVar[float] = 0.05

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Prepared pictures [N, C, H, W] -> a row each: {"psnr", "bicubic"} in dB, {"contrast", "original"} of neighbours."""
        pictures = samples[self.input]
        small = self._small(pictures)
        made = self._brightness(predictors[self.graph]({self.input: small})["enlarged"])
        original = self._brightness(pictures)
        return {
            "psnr": _ratio(made, original),
            "bicubic": _ratio(self._brightness(resized(small, *pictures.shape[2:])), original),
            "contrast": _contrast(made),
            "original": _contrast(original),
        }

    def numbers(self, evidence: Arrays) -> tuple[Array, Array]:
        """Decibels of each picture."""
        return _mean.alike(evidence["psnr"])

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """The gain over cubic interpolation, that one's own ratio, and the sharpness."""
        return (
            _mean.detail("gain over bicubic, dB", *_mean.alike(evidence["psnr"] - evidence["bicubic"])),
            _mean.detail("psnr of bicubic, dB", *_mean.alike(evidence["bicubic"])),
            _mean.detail("sharpness of the original's", evidence["contrast"], evidence["original"]),
        )

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """The first pictures: small, enlarged, as they were."""
        pictures = samples[self.input]
        small = self._small(pictures)
        made = self._brightness(predictors[self.graph]({self.input: small})["enlarged"])
        return (
            Example(
                _pictures.sheet(self._brightness(small), len(pictures), 4 * self.scale),
                _pictures.generated(made, len(pictures), 4),
                _pictures.sheet(self._brightness(pictures), len(pictures), 4),
            ),
        )

    def _small(self, pictures: Array) -> Array:
        return resized(pictures, pictures.shape[2] // self.scale, pictures.shape[3] // self.scale)

    def _brightness(self, pictures: Array) -> Array:
        """0 to 1, as a screen shows them."""
        return _pictures.brightness(pictures.astype(np.float64), self.dark, self.bright)


def _ratio(made: Array, original: Array) -> Array:
    return decibels(np.square(made - original).reshape(len(made), -1).mean(axis=1))


def _contrast(pictures: Array) -> Array:
    """Mean absolute difference of neighbours, of each picture."""
    across, down = (np.abs(np.diff(pictures, axis=axis)).reshape(len(pictures), -1).mean(axis=1) for axis in (3, 2))
    made: Array = (across + down) / 2
    return made
