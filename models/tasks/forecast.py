"""Forecasting: the mean squared error over windows of a time series, and what it saves against forecasts that cost nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.tasks import _blocks
from pipeline.core import Array, Arrays, Detail, Predict, Task

BLOCK = 168
"""Rows of the bootstrap, with a row an hour: a week. Windows that overlap share their errors for a horizon of a day, and
days resemble the day before; weeks repeat."""


@dataclass(frozen=True)
class Forecast(Task):
    """Judges forecasts [N, T, variables] in the units of the data (standardised); all hours and variables count the same.

    The windows must come in the order of time, an hour apart: the intervals are those of the moving-block bootstrap
    (Kuensch 1989) over weeks. The free forecasts to compare with are the last value, and the value a `season` earlier.
    """

    graph: str
    season: int = 24
    """Hours after which the series resembles itself: a day."""
    metric: ClassVar[str] = "mse"
    unit: ClassVar[str] = "standardised units squared"
    higher_is_better: ClassVar[bool] = False
    margin: ClassVar[float] = 0.01

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Prepared {"history": [N, H, variables], "future": [N, T, variables]} -> errors of each window, float64 [N]."""
        history, future = samples["history"], samples["future"]
        forecast = predictors[self.graph]({"history": history})["forecast"]
        return {
            "squared": _mean_square(forecast - future),
            "absolute": np.abs(forecast - future).mean(axis=(1, 2), dtype=np.float64),
            "last_value": _mean_square(history[:, -1:] - future),
            "season_ago": _mean_square(seasonal(history, future.shape[1], self.season) - future),
        }

    def value(self, evidence: Arrays) -> float:
        """Mean squared error."""
        return float(evidence["squared"].mean())

    def interval(self, evidence: Arrays) -> tuple[float, float]:
        """95 % interval of the mean, by the moving-block bootstrap."""
        return _of_mean(evidence["squared"])

    def difference(self, evidence: Arrays, reference: Arrays) -> tuple[float, float, float]:
        """The reference's error minus this one's (worse is negative); blocks are drawn of the pairs' differences."""
        better = reference["squared"] - evidence["squared"]
        return float(better.mean()), *_of_mean(better)

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """The mean absolute error, the free forecasts' errors, and the part that is saved against the better of them."""
        free = {name: float(evidence[name].mean()) for name in ("last_value", "season_ago")}
        best = min(free, key=lambda name: free[name])
        pairs = np.stack([evidence["squared"], evidence[best]], axis=1)
        low, high = _blocks.interval(pairs, BLOCK, lambda means: 1 - means[:, 0] / means[:, 1])
        return (
            Detail("mae", float(evidence["absolute"].mean()), *_of_mean(evidence["absolute"])),
            *(Detail(f"mse_of_{name}", value, *_of_mean(evidence[name])) for name, value in free.items()),
            Detail(f"mse_saved_against_{best}", 1 - self.value(evidence) / free[best], low, high),
        )


def seasonal(history: Array, horizon: int, season: int) -> Array:
    """The last season of a history [N, H, variables], over and over: [N, horizon, variables]."""
    season = min(season, history.shape[1])
    last = history[:, -season:]
    return last[:, np.arange(horizon) % season]


def _mean_square(error: Array) -> Array:
    means: Array = np.square(error, dtype=np.float64).mean(axis=(1, 2))
    return means


def _of_mean(values: Array) -> tuple[float, float]:
    return _blocks.interval(values[:, None], BLOCK, lambda means: means[:, 0])
