"""The one accuracy path: a torch module, an exported file and a remote device are judged by the same code on the same samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np

from pipeline.core import Arrays, Dataset, Graph, Predict, Progress, Task

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


def observed(
    task: Task, predictors: Mapping[str, Predict], samples: Arrays, names: Mapping[str, Iterable[str]], count: int, seed: int
) -> dict[str, list[Arrays]]:
    """What each graph (with its input `names`) is really asked while the judge works on some samples: `count` inputs of batch 1.

    A fair draw where there are more (Vitter 1985, algorithm R), in the order of the calls: a step's states and caches come
    from the middle of sequences as often as they do in use. Memory is bounded by `count`.
    """
    drawn: dict[str, dict[int, tuple[int, Arrays]]] = {name: {} for name in predictors}
    seen = dict.fromkeys(predictors, 0)
    generator = np.random.default_rng(seed)

    def watching(name: str) -> Predict:
        def run(inputs: Arrays) -> Arrays:
            for row in range(len(next(iter(inputs.values())))):
                order = seen[name]
                seen[name] += 1
                place = order if order < count else int(generator.integers(order + 1))
                if place < count:
                    drawn[name][place] = (order, {key: inputs[key][row : row + 1].copy() for key in names[name]})
            return predictors[name](inputs)

        return run

    task.collect({name: watching(name) for name in predictors}, samples)
    return {name: [arrays for _, arrays in sorted(kept.values(), key=lambda each: each[0])] for name, kept in drawn.items()}


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


def module_predictors(graphs: Mapping[str, Graph]) -> dict[str, Predict]:
    """All of a family's graphs as predictors."""
    return {name: module_predictor(graph) for name, graph in graphs.items()}
