"""What a run's steps made -> what a target is given: the files to be timed together, and what judging them takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core import Arrays, Dataset, Predict
from pipeline.evaluate import one_by_one
from pipeline.execute import Outcome
from pipeline.files import load_arrays
from pipeline.places import data_root
from pipeline.plan import Cell, Plan
from pipeline.steps.common import spec
from pipeline.steps.export import SAMPLE
from pipeline.store import Store
from targets.runtimes._base import find as runtime_named

if TYPE_CHECKING:
    from targets._device import Judges
    from targets._sampling import MeasureSet, ToJudge
    from targets.runtimes._base import Predictor

AGAIN = " (again)"
"""Behind a variant's name: the same file a second time, to measure it against itself."""
FEW = 2
"""Samples that show what a judge asks."""


def measure_sets(
    plan: Plan, outcomes: Mapping[str, Outcome], store: Store, *, aa: bool, judges: Judges | None = None
) -> dict[tuple[str, str], MeasureSet]:
    """What is to be timed together, by (model, runtime): a model's variants in one runtime. With `aa` each one twice.

    With `judges` the target is also given what it needs to judge the files.
    """
    from targets._sampling import Candidate, MeasureSet, ToJudge

    data: Dataset | None = plan.recipe.data.build().load(data_root()) if judges else None
    samples = dict[str, Arrays]()
    found: dict[tuple[str, str], dict[str, Candidate]] = {}
    for cell in plan.cells:
        if cell.unavailable or outcomes[cell.evaluation or cell.artifact].status != "ok":
            continue
        graphs = artifact_files(cell, outcomes, store)
        judging = None
        if judges and data:
            files = {name: tuple(each) for name, each in graphs.items()}
            family = spec(outcomes[cell.artifact].facts["family"])  # what was compressed may have smaller states
            judging = ToJudge(files, family.build().task(data.domain), {})
            if cell.model not in samples:  # all its variants get the same, prepared once
                samples[cell.model] = data.batch("test", slice(0, _judged_samples(judges, judging, cell.runtime, data)))
            judging = replace(judging, samples=samples[cell.model])
        first = next(iter(graphs.values()))
        candidate = Candidate(tuple(first), load_arrays(store.path(cell.artifact) / SAMPLE), judging=judging)
        chosen = found.setdefault((cell.model, cell.runtime), {})
        chosen[cell.variant] = candidate
        if aa:
            chosen[cell.variant + AGAIN] = replace(candidate, judging=None)
    return {place: MeasureSet(place[1], chosen, place[0]) for place, chosen in found.items()}


def _judged_samples(judges: Judges, judging: ToJudge, runtime: str, data: Dataset) -> int | None:
    """How many test samples a target judges; where its calls are limited, by what a few samples take here."""
    if judges.calls is None:
        return judges.samples
    calls = 0

    def counting(predict: Predictor) -> Predict:
        def run(inputs: Arrays) -> Arrays:
            nonlocal calls
            calls += len(next(iter(inputs.values()))) if predict.batch == 1 else 1
            return run_any(inputs)

        run_any = one_by_one(predict) if predict.batch == 1 else predict
        return run

    predictors = {name: counting(runtime_named(runtime).load(list(files), 1)) for name, files in judging.graphs.items()}
    judging.task.collect(predictors, data.batch("test", slice(0, FEW)))
    return max(FEW, judges.calls * FEW // calls)


def artifact_files(cell: Cell, outcomes: Mapping[str, Outcome], store: Store) -> dict[str, list[Path]]:
    """The files of each graph, the one to load first; the first graph is the one whose latency is reported."""
    graphs = outcomes[cell.artifact].facts["graphs"].items()
    return {name: [store.path(cell.artifact) / file for file in files] for name, files in graphs}
