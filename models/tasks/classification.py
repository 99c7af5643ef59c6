"""Classification: top-1 accuracy, with exact and paired intervals. Numpy and scipy's distributions only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np

from pipeline.core import Arrays, Predict, Task


@dataclass(frozen=True)
class Classification(Task):
    """Judges logits by whether the largest one is the label's."""

    graph: str
    metric: ClassVar[str] = "accuracy"
    unit: ClassVar[str] = "fraction"
    higher_is_better: ClassVar[bool] = True
    margin: ClassVar[float] = 0.005

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Prepared samples {input: [N, ...], "label": [N]} -> evidence {"correct": bool [N]}."""
        inputs = {name: array for name, array in samples.items() if name != "label"}
        logits = predictors[self.graph](inputs)["logits"]
        return {"correct": logits.argmax(axis=1) == samples["label"]}

    def value(self, evidence: Arrays) -> float:
        """Fraction of correct samples."""
        return float(evidence["correct"].mean())

    def interval(self, evidence: Arrays) -> tuple[float, float]:
        """Exact 95 % interval (Clopper & Pearson, 1934)."""
        from scipy.stats import binomtest

        correct = evidence["correct"]
        found = binomtest(int(correct.sum()), len(correct)).proportion_ci(0.95, method="exact")
        return float(found.low), float(found.high)

    def difference(self, evidence: Arrays, reference: Arrays) -> tuple[float, float, float]:
        """Accuracy minus the reference's on the same samples, with Newcombe's 95 % interval.

        Square-and-add Wilson intervals with a correlation term (Newcombe 1998, "Improved confidence intervals for the
        difference between binomial proportions based on paired data", method 10). Unlike a bootstrap it does not shrink to
        a point when no sample changed.
        """
        ours, theirs = evidence["correct"], reference["correct"]
        n = len(ours)
        both, only_ours = int((ours & theirs).sum()), int((ours & ~theirs).sum())
        only_theirs, neither = int((~ours & theirs).sum()), int((~ours & ~theirs).sum())
        first, second = (both + only_ours) / n, (both + only_theirs) / n
        low1, high1 = wilson(both + only_ours, n)
        low2, high2 = wilson(both + only_theirs, n)
        phi = _correlation(both, only_ours, only_theirs, neither)
        delta = first - second
        below = (first - low1) ** 2 - 2 * phi * (first - low1) * (high2 - second) + (high2 - second) ** 2
        above = (high1 - first) ** 2 - 2 * phi * (high1 - first) * (second - low2) + (second - low2) ** 2
        return delta, delta - sqrt(max(below, 0.0)), delta + sqrt(max(above, 0.0))


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion (1927).

    >>> low, high = wilson(50, 100)
    >>> round(low, 3), round(high, 3)
    (0.404, 0.596)
    """
    z = 1.959963984540054
    centre = (successes + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * sqrt(successes * (n - successes) / n + z * z / 4)
    # None and all are known exactly; rounding would leave them just inside.
    return (max(0.0, centre - half) if successes else 0.0), (min(1.0, centre + half) if successes < n else 1.0)


def _correlation(a: int, b: int, c: int, d: int) -> float:
    """Newcombe's phi, with his continuity correction for positive association."""
    product = float(np.prod([float(a + b), float(c + d), float(a + c), float(b + d)]))
    if product == 0:
        return 0.0
    excess = float(a * d - b * c)
    if excess > 0:
        excess = max(excess - (a + b + c + d) / 2, 0.0)
    return excess / sqrt(product)
