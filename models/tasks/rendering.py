"""Volume rendering of a radiance field, and how near its views come to the true ones. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.tasks import _mean, _pictures
from models.tasks._camera import rays
from models.tasks._decibels import decibels
from pipeline.core import Array, Arrays, Detail, Example, Predict

PLACES = ((20.0, 25.0), (140.0, 40.0), (260.0, 15.0))
"""Azimuth and elevation, degrees, of the views that are shown."""
SIDE = 48


@dataclass(frozen=True)
class Rendering(_mean.Averaged):
    """Peak signal-to-noise ratio -10 log10(mean squared error), dB, of each view, colours 0 to 1; its mean over the views.

    A ray's colour is sum_i w_i c_i + (1 - sum_i w_i) of white, with w_i = exp(-sum_{j<i} s_j d) (1 - exp(-s_i d)) of the density
    s_i and the colour c_i at `samples` places, d apart, in the middle of as many equal parts from `near` to `far`.
    Source: B. Mildenhall et al., "NeRF" (2020, arXiv:2003.08934), equation 3.
    """

    graph: str
    near: float
    far: float
    samples: int
    metric: ClassVar[str] = "psnr"
    unit: ClassVar[str] = "dB"
    higher_is_better: ClassVar[bool] = True
    margin: ClassVar[float] = 0.1

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Rays {"origin", "direction", "colour": [N, 3], "view": [N]} -> {"squared": float64 [N], "view": int64 [N]}."""
        made = self.rendered(predictors, samples["origin"], samples["direction"])
        return {"squared": np.square(made - samples["colour"]).mean(axis=1), "view": samples["view"]}

    def rendered(self, predictors: Mapping[str, Predict], origin: Array, direction: Array) -> Array:
        """Colours of rays [N, 3], float64."""
        distance = (self.far - self.near) / self.samples
        depths = (self.near + (np.arange(self.samples, dtype=np.float32) + 0.5) * distance).astype(np.float32)
        points = origin[:, None] + depths[:, None] * direction[:, None]
        found = predictors[self.graph]({"points": points, "direction": direction})
        passed = found["density"].astype(np.float64) * distance
        before = np.cumsum(passed, axis=1) - passed
        weights = np.exp(-before) * (1 - np.exp(-passed))
        colours = (weights[..., None] * found["colour"]).sum(axis=1)
        made: Array = colours + (1 - weights.sum(axis=1, keepdims=True))
        return made

    def numbers(self, evidence: Arrays) -> tuple[Array, Array]:
        """Decibels of each view: the rays of one are no independent samples."""
        return _mean.alike(_ratios(evidence))

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """The worst view."""
        return (Detail("psnr of the worst view, dB", float(_ratios(evidence).min())),)

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """Views from places of which there is no picture."""
        views = [self.rendered(predictors, *rays(*place, SIDE)).reshape(SIDE, SIDE, 3) for place in PLACES]
        told = "; ".join(f"{azimuth:.0f} degrees around, {elevation:.0f} up" for azimuth, elevation in PLACES)
        return (Example(told, _pictures.generated(np.stack(views).transpose(0, 3, 1, 2), len(views), 4)),)


def _ratios(evidence: Arrays) -> Array:
    """Of each view, dB."""
    _, view = np.unique(evidence["view"], return_inverse=True)
    return decibels(np.bincount(view, evidence["squared"]) / np.bincount(view))
