"""Outcomes and measurements -> the report's records: a cell of the plan each, with words where there is no result."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from pipeline.audit import key as audit_key
from pipeline.candidates import AGAIN, artifact_files
from pipeline.core import Arrays, Facts, Json, ParityError, Promise, Task, Technique
from pipeline.execute import Outcome
from pipeline.export._parity import difference
from pipeline.files import load_arrays
from pipeline.measure import (
    Failure,
    Samples,
    compare,
    device_memory,
    energy,
    instructions,
    latency,
    peak_memory,
    throughput,
)
from pipeline.plan import Cell, Plan
from pipeline.quality import quality as quality_of
from pipeline.quality import versus_reference
from pipeline.recipe import REFERENCE
from pipeline.sizes import adapter_bytes, bundle_bytes, file_bytes
from pipeline.sources import version
from pipeline.steps.export import ANSWER
from pipeline.store import Store
from reports.document import anatomy, quality
from reports.record import Anatomy, Bytes, Host, LatencyRatio, Parity, Predicted, Provenance, Quality, Record, Report, Run, Seeds
from targets.runtimes._base import find as runtime_named

if TYPE_CHECKING:
    from targets._sampling import Measured, MeasureSet

ON_TARGET = 1e-4
"""By so much a float file's answer on a target may differ from torch's, where it is computed in float32."""
PACKAGES = ("torch", "onnx", "onnxruntime", "openvino", "nncf", "litert_torch", "ai_edge_litert", "ai_edge_quantizer")


@dataclass(frozen=True)
class Sampled:
    """What a target found of one set of candidates, by variant."""

    samples: Mapping[str, Samples | Failure] = field(default_factory=dict)
    judged: Mapping[str, Arrays | Failure] = field(default_factory=dict)
    outputs: Mapping[str, Arrays] = field(default_factory=dict)
    tasks: Mapping[str, Task] = field(default_factory=dict)
    """Who judged, where the target did."""


def assemble(
    plan: Plan,
    outcomes: Mapping[str, Outcome],
    measured: Mapping[tuple[str, str], Sampled],
    store: Store,
    run: Run,
    provenance: Provenance = "measured",
) -> Report:
    """The report of a run."""
    empty = Sampled()
    found = [measured.get((cell.model, cell.runtime), empty) for cell in plan.cells]
    return Report(
        run, [_record(cell, plan, outcomes, each, store, provenance) for cell, each in zip(plan.cells, found, strict=True)]
    )


def describe(plan: Plan, name: str, started: float, command: str, measured: Measured | None = None) -> Run:
    """What was run, with which versions, and the machine that measured, with what it said of itself."""
    from targets.device.host import facts

    versions = {"python": platform.python_version(), **{name.replace("_", "-"): version(name) for name in PACKAGES}}
    host, environments = (
        facts(),
        [result["environment"] for results in measured.raw.values() for result in results] if measured else [],
    )
    for there in environments:
        host = there["host"]
        versions[there["package"]] = there["version"]
    return Run(
        id=name,
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)),
        recipe=plan.recipe.name,
        recipe_sha256=plan.recipe.sha256,
        host=Host(host["cpu"] or "unknown", host["cores"], host["features"], host["os"]),
        versions=versions,
        seed=plan.recipe.seed,
        command=command,
        preset=plan.recipe.preset,
        conditions=list(dict.fromkeys(word for there in environments for word in there.get("accelerator", ())))
        + conditions([there[when] for there in environments for when in ("state_before", "state_after")]),
        plan=plan.sha256,
    )


def conditions(states: list[Json]) -> list[str]:
    """What a machine's states while it measured come to, in words; nothing of what it did not tell.

    >>> state = {"governor": "ondemand", "mhz": [1800.0], "load": 0.5, "celsius": 48.3, "throttled": []}
    >>> conditions([state, {**state, "load": 1.25, "mhz": [600.0, 1800.0], "celsius": 61.2, "throttled": ["throttled now"]}])
    ['governor ondemand', '600 to 1,800 MHz', '48 to 61 degrees Celsius', 'throttled now', 'load up to 1.2']
    """
    told = {
        name: [state[name] for state in states if state[name] is not None]
        for name in ("governor", "celsius", "throttled", "load")
    }
    clocks = [megahertz for state in states for megahertz in state["mhz"]]
    words = [f"governor {name}" for name in dict.fromkeys(told["governor"])]
    words += [f"{min(clocks):,.0f} to {max(clocks):,.0f} MHz"] if clocks else []
    words += [f"{min(told['celsius']):.0f} to {max(told['celsius']):.0f} degrees Celsius"] if told["celsius"] else []
    words += dict.fromkeys(each for found in told["throttled"] for each in found)
    words += dict.fromkeys(note for state in states for note in state.get("notes", ()))
    return words + ([f"load up to {max(told['load']):.1f}"] if told["load"] else [])


def by_place(sets: Mapping[tuple[str, str], MeasureSet], measured: Measured) -> dict[tuple[str, str], Sampled]:
    """The measured samples under the place that their set was made for."""
    found = zip(sets.items(), measured.sets, measured.judged, measured.outputs, strict=True)
    return {
        place: Sampled(
            samples, judged, outputs, {name: each.judging.task for name, each in asked.candidates.items() if each.judging}
        )
        for (place, asked), samples, judged, outputs in found
    }


def _record(
    cell: Cell, plan: Plan, outcomes: Mapping[str, Outcome], sampled: Sampled, store: Store, provenance: Provenance
) -> Record:
    common: dict[str, Any] = {
        "model": cell.model,
        "dataset": Path(plan.recipe.data.name).stem,
        "variant": cell.variant,
        "steps": _steps(cell, outcomes),
        "format": cell.format,
        "runtime": cell.runtime,
        "target": plan.target,
        "provenance": provenance,
        "predicted": _predicted(cell, outcomes),
        "family": Path(cell.family.name).stem,
    }
    if cell.unavailable:
        return Record(**common, status="unsupported", reason=cell.unavailable)
    before = outcomes[cell.evaluation or cell.artifact]
    if before.status != "ok":
        return Record(**common, status=before.status, reason=before.reason)
    samples, evidence = sampled.samples.get(cell.variant), sampled.judged.get(cell.variant)
    for what, found in (("judging", evidence), ("measuring", samples)):
        if isinstance(found, Failure):
            if found.unsupported:
                return Record(**common, status="unsupported", reason=found.reason)
            return Record(**common, status="failed", reason=f"{what}: {found.reason}")
    try:
        parity = _parity(cell, outcomes, sampled, store)
    except ParityError as error:
        return Record(**common, status="failed", reason=f"parity on the target: {error}")
    counted = instructions(samples) if isinstance(samples, Samples) else None
    if provenance == "emulated" or isinstance(samples, Failure):
        samples = None  # it ran; how long that took and what it held says nothing of a board
    files = [file for graph in artifact_files(cell, outcomes, store).values() for file in graph]
    entry = store.get(cell.artifact)
    return Record(
        **common,
        status="ok",
        artifact_sha256=entry.sha256 if entry else None,
        quality=_quality(before, [outcomes[key] for key in cell.seeds]) if cell.evaluation else _judged(cell, sampled),
        bytes=Bytes(
            file=file_bytes(files),
            bundle=bundle_bytes(files),
            peak_memory=peak_memory(samples) if samples else None,
            device_memory=device_memory(samples) if samples else None,
            adapter=adapter_bytes(files),
        ),
        latency_ms=latency(samples, plan.recipe.threads) if samples else None,
        versus_baseline=None if cell.variant == REFERENCE else _ratio(samples, sampled.samples.get(REFERENCE), plan.recipe.seed),
        versus_self=_ratio(sampled.samples.get(cell.variant + AGAIN), samples, plan.recipe.seed),
        instructions=counted,
        energy_mj=energy(samples) if samples else None,
        benchmark_model=samples.benchmark_model if samples else None,
        throughput=throughput(samples) if samples else None,
        parity=parity,
        anatomy=_anatomy(outcomes.get(audit_key(cell))),
    )


def _steps(cell: Cell, outcomes: Mapping[str, Outcome]) -> list[Json]:
    """The techniques with their options, and what each noted while it worked: how many parameters it trained."""
    made = [outcomes.get(key) for key in cell.model_keys[1:]]
    return [
        {**(outcome.facts.get("noted", {}) if outcome else {}), "technique": spec.name, "options": spec.options}
        for spec, outcome in zip(cell.history, made, strict=True)
    ]


def _anatomy(looked: Outcome | None) -> Anatomy | None:
    """What is in the file; None where nobody could look."""
    return anatomy(looked.facts) if looked and looked.status == "ok" else None


def _parity(cell: Cell, outcomes: Mapping[str, Outcome], sampled: Sampled, store: Store) -> Parity:
    """The export's own, and how far a float file's answer on the target is from torch's. ParityError where that is too far."""
    found = Parity(**outcomes[cell.artifact].facts["parity"])
    outputs = sampled.outputs.get(cell.variant)
    if found.metric_drop is not None or outputs is None:
        return found
    there = difference(load_arrays(store.path(cell.artifact) / ANSWER), outputs)
    if runtime_named(cell.runtime).precision == "fp32" and there > ON_TARGET:
        raise ParityError(f"outputs differ from torch by {there:.2g}, more than {ON_TARGET:.0e}")
    return replace(found, on_target=there)


def _judged(cell: Cell, sampled: Sampled) -> Quality:
    """What the target's evidence says, against that of the reference in the same runtime there."""
    evidence, reference = sampled.judged[cell.variant], sampled.judged.get(REFERENCE)
    assert not isinstance(evidence, Failure)  # a failed cell came no further
    judge = sampled.tasks[cell.variant]
    found = quality_of(judge, evidence)
    if cell.variant == REFERENCE or not isinstance(reference, dict):
        return found
    return replace(found, versus_reference=versus_reference(judge, evidence, reference))


def _ratio(samples: Samples | Failure | None, baseline: Samples | Failure | None, seed: int) -> LatencyRatio | None:
    if isinstance(samples, Samples) and isinstance(baseline, Samples):
        return compare(samples, baseline, seed)
    return None


def _quality(judged: Outcome, seeds: list[Outcome]) -> Quality:
    values = [judged.facts["value"], *(each.facts["value"] for each in seeds if each.status == "ok")]
    return replace(quality(judged.facts), seeds=Seeds(values, mean(values), stdev(values)) if len(values) > 1 else None)


def _predicted(cell: Cell, outcomes: Mapping[str, Outcome]) -> Predicted | None:
    """The techniques' promises, multiplied along the chain."""
    made = [outcomes[key] for key in cell.model_keys if key in outcomes]  # nothing is made for cells that cannot be had
    facts = [Facts(**outcome.facts["facts"]) for outcome in made if outcome.status == "ok"]
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
        facts[-1].parameters * facts[-1].coded_bits / (facts[0].parameters * facts[0].coded_bits),
    )
