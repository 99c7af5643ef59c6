"""Anomaly detection: how well a score tells what is not normal from what is. Numpy and scipy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from models.tasks import _mean
from pipeline.core import Array, Arrays, Detail, Predict, Task
from pipeline.errors import UserError

KINDS = ("normal", "mnist", "noise", "blur", "occlusion", "pixelation", "inversion")
"""What the labels `kind` mean; the metric is about the first two, all others are details."""
Z = 1.959963984540054
"""Of a normal distribution, 95 % lies so many standard deviations around the mean."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Anomaly(Task):
    """Area under the receiver operating characteristic of the reconstruction error, kind 1 against kind 0.

    It is the probability that an anomaly's score is larger than a normal sample's, ties counting half (Hanley & McNeil,
    1982). The score is the mean squared error of a sample, in the units of the prepared input squared. What is smoother than
    normal samples, as a blurred picture is, is made again with less error and so has an area under 0.5: it goes unnoticed.
    """

    graph: str
    metric: ClassVar[str] = "auroc"
    unit: ClassVar[str] = "fraction"
    higher_is_better: ClassVar[bool] = True
    margin: ClassVar[float] = 0.005

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Prepared {input: [N, ...], "kind": [N]} -> evidence {"score": float64 [N], "kind": int64 [N]}."""
        ((name, given),) = ((name, array) for name, array in samples.items() if name != "kind")
        error = predictors[self.graph]({name: given})["reconstruction"].astype(np.float64) - given
        return {"score": np.square(error).reshape(len(given), -1).mean(axis=1), "kind": samples["kind"]}

    def value(self, evidence: Arrays) -> float:
        """The area for kind 1."""
        return auroc(*_scores(evidence, 1))

    def interval(self, evidence: Arrays) -> tuple[float, float]:
        """95 % interval, see the function `interval`."""
        return interval(*_scores(evidence, 1))

    def difference(self, evidence: Arrays, reference: Arrays) -> tuple[float, float, float]:
        """Area minus the reference's on the same samples, with the paired 95 % interval of DeLong et al. (1988).

        It is as wide as the two rankings differ: rankings that are the same have a difference of exactly 0.
        """
        ours, theirs = _placements(*_scores(evidence, 1)), _placements(*_scores(reference, 1))
        delta = float(ours[0].mean() - theirs[0].mean())
        half = Z * sqrt(_variance(ours[0] - theirs[0], ours[1] - theirs[1]))
        return delta, delta - half, delta + half

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """The area of each other kind that is there, and the mean error of normal samples."""
        found = []
        for kind in range(2, len(KINDS)):
            if (evidence["kind"] == kind).any():
                scores = _scores(evidence, kind)
                found.append(Detail(f"auroc, {KINDS[kind]}", auroc(*scores), *interval(*scores)))
        normal = evidence["score"][evidence["kind"] == 0]
        found.append(_mean.detail("mean squared error, normal", *_mean.alike(normal)))
        return tuple(found)


def auroc(normal: Floats, anomalous: Floats) -> float:
    """The probability that an anomalous score is larger than a normal one, plus half of that of a tie.

    >>> auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.875
    """
    return float(_placements(normal, anomalous)[0].mean())


def interval(normal: Floats, anomalous: Floats) -> tuple[float, float]:
    """95 % interval of `auroc`: DeLong et al. (1988), on the logit scale (Pepe, 2003), so that it stays inside 0 to 1.

    Where the scores are told apart without a mistake, that variance is 0. Pairs of a normal and an anomalous sample that
    share no sample are then so many independent trials, all won: the exact bound for them (Clopper & Pearson, 1934).
    """
    above, below = _placements(normal, anomalous)
    area, variance = float(above.mean()), _variance(above, below)
    if not 0 < area < 1:
        least = 0.025 ** (1 / min(len(normal), len(anomalous)))
        return (least, 1.0) if area else (0.0, 1 - least)
    centre, half = log(area / (1 - area)), Z * sqrt(variance) / (area * (1 - area))
    return 1 / (1 + exp(half - centre)), 1 / (1 + exp(-half - centre))


def _scores(evidence: Arrays, kind: int) -> tuple[Floats, Floats]:
    """The scores of normal samples, and of those of a kind."""
    normal, anomalous = (evidence["score"][evidence["kind"] == each] for each in (0, kind))
    if not (len(normal) and len(anomalous)):
        raise UserError(
            f"auroc: found {len(normal)} samples of kind 0 ({KINDS[0]}) and {len(anomalous)} of kind {kind} ({KINDS[kind]}); "
            "at least one of each is needed"
        )
    return normal, anomalous


def _placements(normal: Floats, anomalous: Floats) -> tuple[Floats, Floats]:
    """For each anomalous sample the share of normal ones below it, for each normal one that of anomalous ones above it.

    From ranks, in O(n log n), ties at their mean rank (Sun & Xu, 2014).
    """
    from scipy.stats import rankdata

    m, n = len(normal), len(anomalous)
    among_all = rankdata(np.concatenate([normal, anomalous]))
    above: Floats = (among_all[m:] - rankdata(anomalous)) / m
    below: Floats = 1 - (among_all[:m] - rankdata(normal)) / n
    return above, below


def _variance(above: Array, below: Array) -> float:
    """DeLong's variance of an area, from its placements; 0 of a single sample, which has none."""
    return sum(float(values.var(ddof=1)) / len(values) for values in (above, below) if len(values) > 1)
