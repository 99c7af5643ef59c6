"""Vector quantization: how far samples lie from the prototypes that stand for them, and whether a map of those is in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.tasks import _mean
from models.tasks.classification import wilson
from pipeline.core import Array, Arrays, Detail, Predict


@dataclass(frozen=True)
class VectorQuantization(_mean.Averaged):
    """Judges a map of `rows` x `columns` units by the distance from each sample to the prototype that it is given.

    The distance is measured here, from the prototype itself and in the units of the input, so that a file cannot flatter
    itself with distances of its own. Intervals are Student's over the samples (`_mean`).
    """

    graph: str
    input: str
    rows: int
    columns: int
    metric: ClassVar[str] = "quantization_error"
    unit: ClassVar[str] = "standardised units"
    higher_is_better: ClassVar[bool] = False
    margin: ClassVar[float] = 0.02

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Prepared {input: [N, ...]} -> evidence {"distance": float64 [N], "apart": bool [N]}.

        `apart`: the best and the second-best unit do not touch on the map, not even by a corner.
        """
        given = samples[self.input]
        found = predictors[self.graph]({self.input: given})
        flat = given.reshape(len(given), -1).astype(np.float64)
        places = [np.stack(np.divmod(found[name].astype(np.int64), self.columns)) for name in ("unit", "second")]
        return {
            "distance": np.linalg.norm(flat - found["prototype"], axis=1),
            "apart": np.abs(places[0] - places[1]).max(axis=0) > 1,
        }

    def numbers(self, evidence: Arrays) -> tuple[Array, Array]:
        """Euclidean distances, whose mean is the quantization error."""
        return _mean.alike(evidence["distance"])

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """Topographic error (Kiviluoto 1996): the fraction of samples whose two best units do not touch; Wilson's interval."""
        apart = evidence["apart"]
        return (Detail("topographic_error", float(apart.mean()), *wilson(int(apart.sum()), len(apart))),)
