"""What a pruned model may need, as a fraction of what the whole one does: multiply-accumulates, bytes, or measured latency."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core import Arrays, Context, Facts, Model, Spec, Unsupported
from pipeline.facts import measure

if TYPE_CHECKING:
    from targets._sampling import Candidate

Left = Callable[[Model], float]
"""The fraction that a model needs."""
FINEST = 32
"""Steps into which a search for a measured budget divides the way at most: a measurement takes seconds."""


def facts(model: Model) -> Facts:
    """Of a model as it is now."""
    return measure(model.family.build().graphs(model.module, model.domain))


def macs(whole: Model) -> Left:
    """Multiply-accumulates of one inference of the first graph."""
    before = facts(whole).macs
    return lambda model: facts(model).macs / before


def parameter_bytes(whole: Model) -> Left:
    """Bytes of the parameters, 4 each; a file has some more for its graph."""
    before = facts(whole).parameters
    return lambda model: facts(model).parameters / before


def latency(whole: Model, runtime: str, context: Context) -> Left:
    """Measured: the first graph's file timed against the whole model's, by turns in the same processes (pipeline/measure.py).

    Both are exported as float files and run on one thread of this machine. The ratio is the median of the paired ratios.
    """
    from pipeline.measure import Failure, compare
    from targets._sampling import MeasureSet, Plan, sample
    from targets.device.job import Sampling
    from targets.transport.local import Local

    folder = context.scratch / "timed"
    first = _exported(whole, runtime, folder / "whole")
    plan = Plan(seed=context.seed, sampling=Sampling(steady_calls=20, energy_seconds=0.0))

    def left(model: Model) -> float:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            pair = {"whole": first, "pruned": _exported(model, runtime, Path(place))}
            found = sample(Local(), [MeasureSet(runtime, pair)], plan, lambda *_: None).sets[0]
        times = [found[name] for name in ("pruned", "whole")]
        for each in times:
            if isinstance(each, Failure):
                raise Unsupported(f"prune_structured: {runtime} cannot time the model: {each.reason}")
        pruned, other = (each for each in times if not isinstance(each, Failure))
        return compare(pruned, other, context.seed).ratio

    return left


def fewest(left: Callable[[int], float], most: tuple[int, float], goal: float, finest: int | None) -> tuple[int, float]:
    """The fewest steps after which at most `goal` is left, and what is left then; `most` are steps that are enough.

    Bisection, since what is left hardly ever rises with a step more; to within a part in `finest`.
    """
    low, (high, found) = -1, most
    grain = max(1, high // finest) if finest else 1
    while high - low > grain:
        middle = (low + high) // 2
        value = left(middle)
        if value <= goal:
            high, found = middle, value
        else:
            low = middle
    return high, found


def _exported(model: Model, runtime: str, folder: Path) -> Candidate:
    """The file of the first graph, with a sample of zeros."""
    from pipeline.export._trace import examples
    from targets._sampling import Candidate
    from targets.runtimes._base import find

    graph = next(iter(model.family.build().graphs(model.module, model.domain).values()))
    exporter = Spec("format", find(runtime).format).build()
    files = exporter.export(model, graph, folder / "graph", [], {})
    inputs: Arrays = examples(graph)
    return Candidate(tuple(files), inputs)
