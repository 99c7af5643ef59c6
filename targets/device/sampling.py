"""The timed loops. Durations are integer nanoseconds of the monotonic clock; nothing here averages or discards silently."""

from __future__ import annotations

import contextlib
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from targets.device.job import Sampling
from targets.runtimes._base import Arrays, Staged, one_line

clock = time.perf_counter_ns
PART_SECONDS = 60.0
"""Of a sustained block: how heat and governors change a minute is what is looked for."""
BATCH_CALLS = 25
"""At each batch size, after three that warm up: enough for a median."""
BATCH_SECONDS = 2.0
"""A batch size whose calls took longer in all is the last one."""


@dataclass(frozen=True)
class Call:
    """A predictor and the sample that it is timed on."""

    predict: Callable[[Arrays], Arrays]
    inputs: Arrays
    staged: Callable[[], int] | None = None
    """One call by the clock of the accelerator that the inputs wait on, instead of one by this machine's clock."""


@dataclass(frozen=True)
class Curve:
    """Nanoseconds of calls at growing batch sizes, and why there is no larger one."""

    calls: dict[int, list[int]]
    ended: str


def warm(calls: Mapping[str, Call], count: int) -> None:
    """Calls the candidates in turns, so that none of them starts with a cold cache or a clock that still rises."""
    for _ in range(count):
        for call in calls.values():
            timed(call, 1)


def interleaved(calls: Mapping[str, Call], sampling: Sampling, generator: random.Random) -> list[dict[str, int]]:
    """For each round, in order, the time of each candidate, in the order in which they were called.

    Every candidate of a round meets the same state of the machine, which is why only ratios within a round are compared.
    """
    rounds = []
    for _ in range(sampling.rounds):
        order = generator.sample(list(calls), len(calls))
        rounds.append({name: min(timed(calls[name], sampling.calls)[1:]) for name in order})
    return rounds


def timed(call: Call, count: int, seconds: float = float("inf")) -> list[int]:
    """The time of each of `count` calls in a row, fewer when `seconds` are over before."""
    once = call.staged or _by_this_clock(call)
    durations: list[int] = []
    end = clock() + seconds * 1e9
    for _ in range(count):
        durations.append(once())
        if clock() > end:
            break
    return durations


def _by_this_clock(call: Call) -> Callable[[], int]:
    predict, inputs = call.predict, call.inputs

    def once() -> int:
        start = clock()
        predict(inputs)
        return clock() - start

    return once


def curve(predict: Staged, inputs: Arrays, batches: Sequence[int]) -> Curve:
    """The calls at each batch size until one is refused, out of memory for instance, or takes too long.

    `inputs` hold one sample, which is repeated. A file that takes one batch size only has that one.
    """
    calls: dict[int, list[int]] = {}
    for batch in batches if predict.batch is None else (predict.batch,):
        many = {name: np.repeat(array, batch, axis=0) if array.ndim else array for name, array in inputs.items()}
        try:
            once = predict.stage(many)
            calls[batch] = [once() for _ in range(3 + BATCH_CALLS)][3:]
        except (RuntimeError, ValueError, MemoryError) as error:
            said = one_line(error)
            return Curve(calls, f"batch {batch}: {'out of memory' if 'out of memory' in said.lower() else said}")
        if sum(calls[batch]) / 1e9 > BATCH_SECONDS:
            return Curve(calls, f"batch {batch}: {BATCH_CALLS} calls took more than {BATCH_SECONDS:g} s")
    return Curve(calls, "the largest that was asked for" if predict.batch is None else "the file takes this batch size only")


def plainly(work: Callable[[], list[int]]) -> list[int]:
    """Does the work with nothing around it."""
    return work()


def sustained(
    call: Call, seconds: float, part: float = PART_SECONDS, around: Callable[[Callable[[], list[int]]], list[int]] = plainly
) -> list[int]:
    """The median of each part (a minute) of a block of calls that lasts so long; a last part that is cut short counts as one.

    `around` is what measures each part besides: a meter that is read too seldom begins anew unseen.
    """
    medians: list[int] = []
    end = clock() + seconds * 1e9
    while (left := (end - clock()) / 1e9) > 0:
        medians.append(int(statistics.median(around(partial(timed, call, sys.maxsize, min(part, left))))))
    return medians


def handicapped(predict: Callable[[Arrays], Arrays], handicap: float) -> Callable[[Arrays], Arrays]:
    """The same predictor, each call made (1 + handicap) times as long by spinning; itself when the handicap is 0."""
    if handicap == 0:
        return predict

    def slower(inputs: Arrays) -> Arrays:
        start = clock()
        outputs = predict(inputs)
        end = start + (clock() - start) * (1 + handicap)
        while clock() < end:
            pass
        return outputs

    return slower


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Keeps Python's garbage collector out of the timed loops."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
