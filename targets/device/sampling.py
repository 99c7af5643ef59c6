"""The timed loops. Durations are integer nanoseconds of the monotonic clock; nothing here averages or discards silently."""

from __future__ import annotations

import contextlib
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from targets.device.job import Sampling
from targets.runtimes._base import Arrays

clock = time.perf_counter_ns
PART_SECONDS = 60.0
"""Of a sustained block: how heat and governors change a minute is what is looked for."""


@dataclass(frozen=True)
class Call:
    """A predictor and the sample that it is timed on."""

    predict: Callable[[Arrays], Arrays]
    inputs: Arrays


def warm(calls: Mapping[str, Call], count: int) -> None:
    """Calls the candidates in turns, so that none of them starts with a cold cache or a clock that still rises."""
    for _ in range(count):
        for call in calls.values():
            call.predict(call.inputs)


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
    predict, inputs = call.predict, call.inputs
    durations: list[int] = []
    end = clock() + seconds * 1e9
    for _ in range(count):
        start = clock()
        predict(inputs)
        stop = clock()
        durations.append(stop - start)
        if stop > end:
            break
    return durations


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
