"""Latency statistics: what the samples of one measurement say, and how sure that is. numpy only; times in nanoseconds.

Numbers are only ever compared within a round: the machine has speed regimes that last longer than a round, and the ratio of
two medians from different processes was wrong by up to 60 %.

    estimate  exp of the median over all processes and rounds of log(candidate / baseline)
    interval  95 % bootstrap: processes drawn with replacement, then rounds of each drawn process (percentile method)
    verdict   see `verdict`

The false-verdict rate and the power of the protocol are measured by `python -m pipeline.bench.measure`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.record import (
    Batch,
    BenchmarkModel,
    Energy,
    Instructions,
    Latency,
    LatencyRatio,
    LatencyVerdict,
    Sustained,
    Throughput,
)

Nanoseconds = NDArray[np.int64]

MARGIN = 0.03
"""Ratios between 1 / (1 + MARGIN) and 1 + MARGIN are called equivalent: symmetric, so that swapping the two mirrors a verdict."""
RESAMPLES = 2000
BEYOND = 10
"""A percentile is reported only with so many samples beyond it."""


@dataclass(frozen=True)
class Metered:
    """What a meter says of a block of calls."""

    millijoules: float
    """Of one call."""
    meter: str


@dataclass(frozen=True)
class Samples:
    """What was measured of one candidate, a row or an item a process."""

    rounds: Nanoseconds
    """(processes, rounds): round r of process p is shared with the other candidates of the set."""
    steady: tuple[Nanoseconds, ...]
    """Calls in a row, for the percentiles."""
    load: Nanoseconds
    first: Nanoseconds
    peak_bytes: NDArray[np.int64]
    """Of a process that loaded only this file and called it twice; the runtime itself included."""
    sustained: Nanoseconds = field(default_factory=lambda: np.empty(0, np.int64))
    """The median of each minute of calls without a pause, where that was asked for."""
    instructions: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Of single calls, where an emulator counts them."""
    energy: tuple[Metered, ...] = ()
    """Of each process, where there is a meter."""
    sustained_energy: Metered | None = None
    benchmark_model: BenchmarkModel | None = None
    """What LiteRT's own program says of the file, where a person gave it."""
    device_bytes: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """The most that it held of an accelerator's memory, where that is known."""
    batches: Mapping[int, Nanoseconds] = field(default_factory=dict)
    """Calls at growing batch sizes, where that was asked for."""
    batches_ended: str = ""
    """Why there is no larger batch."""


@dataclass(frozen=True)
class Failure:
    """Why a candidate has no samples, in one line."""

    reason: str
    unsupported: bool = False
    """Nothing went wrong: it is what the runtime cannot do."""


def compare(candidate: Samples, baseline: Samples, seed: int = 0) -> LatencyRatio:
    """The candidate's latency over the baseline's; both from one set of one measurement."""
    return paired_ratio(candidate.rounds, baseline.rounds, seed)


def paired_ratio(candidate: NDArray[Any], baseline: NDArray[Any], seed: int = 0) -> LatencyRatio:
    """The ratio of two arrays (processes, rounds) of times whose elements belong together."""
    if candidate.shape != baseline.shape or candidate.ndim != 2 or candidate.size == 0:
        raise ValueError(f"paired times must have one shape (processes, rounds), found {candidate.shape} and {baseline.shape}")
    logs = np.log(candidate) - np.log(baseline)
    low, high = np.exp(np.percentile(_bootstrap_medians(logs, seed), (2.5, 97.5)))
    ratio = float(np.exp(np.median(logs)))
    return LatencyRatio(ratio, float(low), float(high), verdict(ratio, float(low), float(high)))


def verdict(ratio: float, low: float, high: float) -> LatencyVerdict:
    """Faster or slower: the interval excludes 1 and the ratio is outside the margin. Equivalent: the interval is inside it.

    The margin is what keeps verdicts true when many candidates are compared: with ten, some interval excludes 1 by chance
    in 17-38 % of runs.

    >>> verdict(1.05, 1.02, 1.08), verdict(1.0, 0.99, 1.01), verdict(1.05, 0.99, 1.1)
    ('slower', 'equivalent', 'inconclusive')
    """
    upper, lower = 1 + MARGIN, 1 / (1 + MARGIN)
    if low > 1 and ratio > upper:
        return "slower"
    if high < 1 and ratio < lower:
        return "faster"
    return "equivalent" if lower <= low and high <= upper else "inconclusive"


def percentile(samples: NDArray[Any], q: float) -> float | None:
    """The q-th percentile (50 <= q < 100), or None with fewer than ten samples beyond it: p50 needs 20, p90 100, p99 1000."""
    beyond = round(samples.size * (100 - q) / 100, 6)  # rounded: 1000 * (100 - 99.9) / 100 is 0.9999999
    return float(np.percentile(samples, q)) if beyond >= BEYOND else None


def latency(samples: Samples, threads: int, batch: int = 1) -> Latency:
    """Milliseconds: load and first call (medians over the processes) and the percentiles of the steady calls."""
    steady = np.concatenate(samples.steady) / 1e6
    return Latency(
        load=_median_ms(samples.load),
        first=_median_ms(samples.first),
        p50=percentile(steady, 50),
        p90=percentile(steady, 90),
        p99=percentile(steady, 99),
        samples=int(steady.size),
        threads=threads,
        batch=batch,
        sustained=_sustained(samples.sustained),
    )


def instructions(samples: Samples) -> Instructions | None:
    """The median of the counted calls, and their range; None where nothing was counted."""
    found = samples.instructions
    if not found.size:
        return None
    return Instructions(int(np.median(found)), int(found.min()), int(found.max()), int(found.size))


def energy(samples: Samples) -> Energy | None:
    """The median over the processes, and their range; None where there is no meter."""
    found = [each.millijoules for each in samples.energy]
    if not found:
        return None
    kept = samples.sustained_energy
    return Energy(float(np.median(found)), min(found), max(found), kept.millijoules if kept else None, samples.energy[0].meter)


def peak_memory(samples: Samples) -> int:
    """Bytes: the median over the processes."""
    return int(np.median(samples.peak_bytes))


def device_memory(samples: Samples) -> int | None:
    """Bytes of an accelerator's memory: the median over the processes that know."""
    return int(np.median(samples.device_bytes)) if samples.device_bytes.size else None


def throughput(samples: Samples) -> Throughput | None:
    """The median call at each batch size, and what that is in samples a second; None where batches were not asked for."""
    if not samples.batches_ended:
        return None
    medians = {batch: float(np.median(calls)) for batch, calls in samples.batches.items()}
    points = [Batch(batch, median / 1e6, batch * 1e9 / median) for batch, median in medians.items()]
    return Throughput(points, samples.batches_ended)


def _bootstrap_medians(logs: NDArray[Any], seed: int) -> NDArray[Any]:
    """The pooled median of each resample, shape (RESAMPLES,)."""
    processes, rounds = logs.shape
    generator = np.random.default_rng(seed)
    drawn_processes = generator.integers(processes, size=(RESAMPLES, processes, 1))
    drawn_rounds = generator.integers(rounds, size=(RESAMPLES, processes, rounds))
    medians: NDArray[Any] = np.median(logs[drawn_processes, drawn_rounds], axis=(1, 2))
    return medians


def _sustained(minutes: Nanoseconds) -> Sustained | None:
    """The first minute against the last: what heat did."""
    return Sustained(float(minutes[0]) / 1e6, float(minutes[-1]) / 1e6, int(minutes.size)) if minutes.size else None


def _median_ms(nanoseconds: Nanoseconds) -> float | None:
    return float(np.median(nanoseconds)) / 1e6 if nanoseconds.size else None
