"""Means over samples and their 95 % intervals, for metrics that are an average: an error, a likelihood.

Samples may weigh differently (a window of text by its characters): the mean is then a ratio of sums, whose interval comes
from its linearisation (Cochran 1977, "Sampling Techniques", chapter 6) and Student's t over the samples.
"""

from __future__ import annotations

from abc import abstractmethod
from math import sqrt

import numpy as np

from pipeline.core import Array, Arrays, Detail, Task


class Averaged(Task):
    """Abstract: a task whose metric is the mean of a number that each row, or what rows belong to, has."""

    @abstractmethod
    def numbers(self, evidence: Arrays) -> tuple[Array, Array]:
        """What is averaged [N], summed over as many parts as the second [N] says: ones, where rows count alike."""

    def value(self, evidence: Arrays) -> float:
        """The mean."""
        return mean(*self.numbers(evidence))

    def interval(self, evidence: Arrays) -> tuple[float, float]:
        """95 % interval of the mean."""
        return interval(*self.numbers(evidence))

    def difference(self, evidence: Arrays, reference: Arrays) -> tuple[float, float, float]:
        """Paired over the same samples; worse is negative, whichever way is better."""
        (ours, count), (theirs, _) = self.numbers(evidence), self.numbers(reference)
        return difference(ours, theirs, count) if self.higher_is_better else difference(theirs, ours, count)


def alike(total: Array) -> tuple[Array, Array]:
    """Numbers that count as much as one another."""
    return total, np.ones(len(total))


def detail(metric: str, total: Array, count: Array) -> Detail:
    """A mean beside the metric, with its interval."""
    return Detail(metric, mean(total, count), *interval(total, count))


def mean(total: Array, count: Array) -> float:
    """Sum of `total` [N] over sum of `count` [N]."""
    return float(total.sum() / count.sum())


def interval(total: Array, count: Array) -> tuple[float, float]:
    """95 % interval of `mean`."""
    centre, wide = mean(total, count), half(_influence(total, count))
    return centre - wide, centre + wide


def difference(total: Array, reference: Array, count: Array) -> tuple[float, float, float]:
    """`mean(total) - mean(reference)` over the same samples, with its paired 95 % interval.

    >>> import numpy as np
    >>> difference(np.array([2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0]), np.ones(3))
    (1.0, 1.0, 1.0)
    """
    centre = mean(total, count) - mean(reference, count)
    wide = half(_influence(total, count) - _influence(reference, count))
    return centre, centre - wide, centre + wide


def _influence(total: Array, count: Array) -> Array:
    """What each sample adds to the ratio's error."""
    values: Array = (total - mean(total, count) * count) / count.mean()
    return values


def half(influence: Array) -> float:
    """Half the 95 % interval of a mean, to whose error each sample adds so much; 0 where there is but one."""
    from scipy.stats import t

    n = len(influence)
    return float(t.ppf(0.975, n - 1) * influence.std(ddof=1) / sqrt(n)) if n > 1 else 0.0
