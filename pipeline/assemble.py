"""Outcomes and measurements -> the report's records: a cell of the plan each, with words where there is no result."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from pipeline.core import Facts, Promise, Technique
from pipeline.execute import Outcome
from pipeline.files import load_arrays
from pipeline.measure import Failure, Samples, compare, latency, peak_memory
from pipeline.plan import Cell, Plan
from pipeline.recipe import REFERENCE
from pipeline.sizes import bundle_bytes, file_bytes
from pipeline.sources import version
from pipeline.steps.export import SAMPLE
from pipeline.store import Store
from reports.document import quality
from reports.record import Bytes, Host, LatencyRatio, Parity, Predicted, Quality, Record, Report, Run, Seeds

if TYPE_CHECKING:
    from targets._sampling import Measured, MeasureSet

AGAIN = " (again)"
"""Behind a variant's name: the same file a second time, to measure it against itself."""
PACKAGES = ("torch", "onnx", "onnxruntime", "openvino", "nncf", "litert_torch", "ai_edge_litert", "ai_edge_quantizer")

Sampled = Mapping[str, Samples | Failure]


def measure_sets(plan: Plan, outcomes: Mapping[str, Outcome], store: Store, *, aa: bool) -> dict[tuple[str, str], MeasureSet]:
    """What is to be timed together, by (model, runtime): a model's variants in one runtime. With `aa` each one twice."""
    from targets._sampling import Candidate, MeasureSet

    found: dict[tuple[str, str], dict[str, Candidate]] = {}
    for cell in plan.cells:
        if cell.unavailable or outcomes[cell.evaluation].status != "ok":
            continue
        files = artifact_files(cell, outcomes, store)[0]
        candidate = Candidate(tuple(files), load_arrays(store.path(cell.artifact) / SAMPLE))
        chosen = found.setdefault((cell.model, cell.runtime), {})
        chosen[cell.variant] = candidate
        if aa:
            chosen[cell.variant + AGAIN] = candidate
    return {place: MeasureSet(place[1], chosen) for place, chosen in found.items()}


def artifact_files(cell: Cell, outcomes: Mapping[str, Outcome], store: Store) -> list[list[Path]]:
    """The files of each graph, the one to load first; the first graph is the one whose latency is reported."""
    graphs = outcomes[cell.artifact].facts["graphs"].values()
    return [[store.path(cell.artifact) / name for name in files] for files in graphs]


def assemble(
    plan: Plan,
    outcomes: Mapping[str, Outcome],
    measured: Mapping[tuple[str, str], Sampled],
    store: Store,
    run: Run,
) -> Report:
    """The report of a run."""
    return Report(
        run, [_record(cell, plan, outcomes, measured.get((cell.model, cell.runtime), {}), store) for cell in plan.cells]
    )


def describe(plan: Plan, name: str, started: float, command: str) -> Run:
    """What was run, where and with which versions."""
    from targets.device.host import facts

    host = facts()
    return Run(
        id=name,
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)),
        recipe=plan.recipe.name,
        recipe_sha256=plan.recipe.sha256,
        host=Host(host["cpu"] or "unknown", host["cores"], host["features"], host["os"]),
        versions={"python": platform.python_version(), **{name.replace("_", "-"): version(name) for name in PACKAGES}},
        seed=plan.recipe.seed,
        command=command,
        preset=plan.recipe.preset,
        plan=plan.sha256,
    )


def by_place(sets: Mapping[tuple[str, str], MeasureSet], measured: Measured) -> dict[tuple[str, str], Sampled]:
    """The measured samples under the place that their set was made for."""
    return dict(zip(sets, measured.sets, strict=True))


def _record(cell: Cell, plan: Plan, outcomes: Mapping[str, Outcome], sampled: Sampled, store: Store) -> Record:
    common: dict[str, Any] = {
        "model": cell.model,
        "dataset": Path(plan.recipe.data.name).stem,
        "variant": cell.variant,
        "steps": [{"technique": spec.name, "options": spec.options} for spec in cell.history],
        "format": cell.format,
        "runtime": cell.runtime,
        "target": plan.target,
        "provenance": "measured",
        "predicted": _predicted(cell, outcomes),
        "family": Path(cell.family.name).stem,
    }
    if cell.unavailable:
        return Record(**common, status="unsupported", reason=cell.unavailable)
    judged = outcomes[cell.evaluation]
    if judged.status != "ok":
        return Record(**common, status=judged.status, reason=judged.reason)
    samples = sampled.get(cell.variant)
    if isinstance(samples, Failure):
        return Record(**common, status="failed", reason=f"measuring: {samples.reason}")
    files = [file for graph in artifact_files(cell, outcomes, store) for file in graph]
    entry = store.get(cell.artifact)
    return Record(
        **common,
        status="ok",
        artifact_sha256=entry.sha256 if entry else None,
        quality=_quality(judged, [outcomes[key] for key in cell.seeds]),
        bytes=Bytes(file_bytes(files), bundle_bytes(files), peak_memory(samples) if samples else None),
        latency_ms=latency(samples, plan.recipe.threads) if samples else None,
        versus_baseline=None if cell.variant == REFERENCE else _ratio(samples, sampled.get(REFERENCE), plan.recipe.seed),
        versus_self=_ratio(sampled.get(cell.variant + AGAIN), samples, plan.recipe.seed),
        parity=Parity(**outcomes[cell.artifact].facts["parity"]),
    )


def _ratio(samples: Samples | Failure | None, baseline: Samples | Failure | None, seed: int) -> LatencyRatio | None:
    if isinstance(samples, Samples) and isinstance(baseline, Samples):
        return compare(samples, baseline, seed)
    return None


def _quality(judged: Outcome, seeds: list[Outcome]) -> Quality:
    values = [judged.facts["value"], *(each.facts["value"] for each in seeds if each.status == "ok")]
    return replace(quality(judged.facts), seeds=Seeds(values, mean(values), stdev(values)) if len(values) > 1 else None)


def _predicted(cell: Cell, outcomes: Mapping[str, Outcome]) -> Predicted | None:
    """The techniques' promises, multiplied along the chain."""
    facts = [Facts(**outcomes[key].facts["facts"]) for key in cell.model_keys if outcomes[key].status == "ok"]
    if not cell.history or len(facts) != len(cell.model_keys):
        return None
    promises: list[Promise] = []
    for spec, before, after in zip(cell.history, facts, facts[1:], strict=False):
        technique: Technique = spec.build()
        promises.append(technique.promise(before, after))
    return Predicted(
        prod(promise.file_ratio for promise in promises),
        prod(promise.latency_ratio for promise in promises),
        ", ".join(dict.fromkeys(place for promise in promises for place in promise.where)),
    )
