"""The one accuracy path: a torch module, an exported file and a remote device are judged by the same code on the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from pipeline.core import Arrays, Dataset, Graph, Predict, Progress, Task
from reports.record import Quality, QualityDelta, QualityVerdict

CHUNK = 256
"""Samples that are prepared at a time: bounds the memory, whatever the data set's size."""


def collect(
    task: Task,
    predictors: Mapping[str, Predict],
    data: Dataset,
    split: str,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Arrays:
    """Evidence over a split (its first `limit` samples), a row a sample."""
    total = min(data.size(split), limit or data.size(split))
    parts: list[Arrays] = []
    for start in range(0, total, CHUNK):
        parts.append(task.collect(predictors, data.batch(split, slice(start, min(start + CHUNK, total)))))
        if progress:
            progress(min(start + CHUNK, total), total, f"{split} samples")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def quality(task: Task, evidence: Arrays) -> Quality:
    """The metric with its interval."""
    low, high = task.interval(evidence)
    n = len(next(iter(evidence.values())))
    return Quality(task.metric, task.value(evidence), low, high, n, task.higher_is_better)


def versus_reference(task: Task, evidence: Arrays, reference: Arrays) -> QualityDelta:
    """What the compression did to the metric; negative is worse."""
    delta, low, high = task.difference(evidence, reference)
    return QualityDelta(delta, low, high, _verdict(low, high, task.margin))


def _verdict(low: float, high: float, margin: float) -> QualityVerdict:
    if high < 0:
        return "worse"
    if low > 0:
        return "better"
    return "equivalent" if -margin <= low and high <= margin else "inconclusive"


def one_by_one(predict: Predict) -> Predict:
    """A predictor for any number of samples out of one for a single sample: exported graphs have batch 1."""

    def run(inputs: Arrays) -> Arrays:
        n = len(next(iter(inputs.values())))
        parts = [predict({name: array[i : i + 1] for name, array in inputs.items()}) for i in range(n)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return run


def module_predictor(graph: Graph) -> Predict:
    """A torch graph as a predictor."""
    from pipeline.export import _trace

    return partial(_trace.run, graph)
