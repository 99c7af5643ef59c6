"""95 % intervals for means over a time series, whose neighbours depend on each other: the moving-block bootstrap.

H. R. Kuensch, "The Jackknife and the Bootstrap for General Stationary Observations" (Annals of Statistics, 1989): whole
blocks of consecutive rows are drawn with replacement, so that what depends on each other stays together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.core import Array

REPLICATES = 2000
SEED = 0


def interval(rows: Array, block: int, statistic: Callable[[Array], Array]) -> tuple[float, float]:
    """Percentile interval of a statistic of column means.

    `rows` [N, columns] are in the order of time; `statistic` turns means [replicates, columns] into values [replicates].
    Of fewer than eight blocks nothing can be learned, so a short series gets blocks of an eighth of its length.
    """
    n = len(rows)
    block = max(1, min(block, n // 8))
    sums = np.cumsum(np.concatenate([np.zeros((1, rows.shape[1])), rows]), axis=0)
    means = (sums[block:] - sums[:-block]) / block  # of the block from each row on
    drawn = np.random.default_rng(SEED).integers(len(means), size=(REPLICATES, -(-n // block)))
    low, high = np.quantile(statistic(means[drawn].mean(axis=1)), (0.025, 0.975))
    return float(low), float(high)
