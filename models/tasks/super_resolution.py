"""Super-resolution: how near enlarged pictures come to those that they were made smaller from. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.tasks import _mean, _pictures
from models.tasks._resampling import resized
from pipeline.core import Array, Arrays, Detail, Example, Predict, Task

LEAST = 1e-10
"""Mean squared error of pictures that are the same, for whom no ratio would be finite: 100 dB."""


@dataclass(frozen=True)
class SuperResolution(Task):
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

    def value(self, evidence: Arrays) -> float:
        """Mean, dB."""
        return _mean.mean(evidence["psnr"], np.ones_like(evidence["psnr"]))

    def interval(self, evidence: Arrays) -> tuple[float, float]:
        """95 % interval of the mean."""
        return _mean.interval(evidence["psnr"], np.ones_like(evidence["psnr"]))

    def difference(self, evidence: Arrays, reference: Arrays) -> tuple[float, float, float]:
        """Paired over the same pictures, dB."""
        return _mean.difference(evidence["psnr"], reference["psnr"], np.ones_like(evidence["psnr"]))

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """The gain over cubic interpolation, that one's own ratio, and the sharpness."""
        psnr, free = evidence["psnr"], evidence["bicubic"]
        each = np.ones_like(psnr)
        contrasts = evidence["contrast"], evidence["original"]
        return (
            Detail("gain over bicubic, dB", *_mean.difference(psnr, free, each)),
            Detail("psnr of bicubic, dB", _mean.mean(free, each), *_mean.interval(free, each)),
            Detail("sharpness of the original's", _mean.mean(*contrasts), *_mean.interval(*contrasts)),
        )

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """The first pictures: small, enlarged, as they were."""
        pictures = samples[self.input]
        small = self._small(pictures)
        made = self._brightness(predictors[self.graph]({self.input: small})["enlarged"])
        sheets = (
            _pictures.sheet(each, len(pictures), enlarged)
            for each, enlarged in ((self._brightness(small), 4 * self.scale), (made, 4), (self._brightness(pictures), 4))
        )
        return (Example(*sheets),)

    def _small(self, pictures: Array) -> Array:
        return resized(pictures, pictures.shape[2] // self.scale, pictures.shape[3] // self.scale)

    def _brightness(self, pictures: Array) -> Array:
        """0 to 1, as a screen shows them."""
        made: Array = ((pictures.astype(np.float64) - self.dark) / (self.bright - self.dark)).clip(0, 1)
        return made


def _ratio(made: Array, original: Array) -> Array:
    error = np.square(made - original).reshape(len(made), -1).mean(axis=1)
    ratio: Array = -10 * np.log10(np.maximum(error, LEAST))
    return ratio


def _contrast(pictures: Array) -> Array:
    """Mean absolute difference of neighbours, of each picture."""
    across, down = (np.abs(np.diff(pictures, axis=axis)).reshape(len(pictures), -1).mean(axis=1) for axis in (3, 2))
    made: Array = (across + down) / 2
    return made
