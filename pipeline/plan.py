"""Recipe -> steps with content keys. A key covers the options, the inputs' keys, the data, the code and its packages.

Steps that variants share have the same key and so run once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.anatomy._parts import reader
from pipeline.core import Domain, Json, Outlook, Spec, Technique
from pipeline.dataset_check import blamed, check
from pipeline.errors import UserError, unknown
from pipeline.files import file_sha256
from pipeline.options import values
from pipeline.recipe import REFERENCE, ModelEntry, Recipe, Variant
from pipeline.registry import find, names, source_file
from pipeline.sources import digest
from targets.runtimes._base import find as runtime_named

YARDSTICK = "torch"
STEPS = Path(__file__).resolve().parent / "steps"


@dataclass(frozen=True)
class Step:
    """One piece of work. `task` is all that a worker needs to know, as JSON; `inputs` are the keys it waits for."""

    key: str
    kind: str
    label: str
    task: Json
    inputs: tuple[str, ...] = ()
    stored: bool = True


@dataclass(frozen=True)
class Cell:
    """One row of the report: a model's variant in a format, run by a runtime."""

    model: str
    variant: str
    format: str
    runtime: str
    history: tuple[Spec, ...]
    model_keys: tuple[str, ...]
    """Keys of the trained model and of what each technique made of it."""
    artifact: str
    evaluation: str | None
    """The step that judges the files here; None where the target does that."""
    family: Spec
    seeds: tuple[str, ...] = ()
    """Evaluations of the same reference trained from other seeds."""
    unavailable: str | None = None
    """Why the runtime cannot be used here; then nothing is exported or measured for this cell."""
    sensitivity: str | None = None
    """The step that asks the model what it minds; None for a format that nobody can look into."""


@dataclass(frozen=True)
class Plan:
    """Everything that a run will do, inputs before what needs them."""

    recipe: Recipe
    target: str
    steps: tuple[Step, ...]
    cells: tuple[Cell, ...]

    @property
    def sha256(self) -> str:
        """Of all keys: what was to be done, with which data, code and packages, whoever did it."""
        return _hash([self.target, [step.key for step in self.steps]])


def make(
    recipe: Recipe,
    target: str,
    data_root: Path,
    runtimes: Mapping[str, str | None],
    device: str = "cpu",
    judged_here: bool = True,
) -> Plan:
    """The plan of a recipe. `runtimes` says of each why it is missing on the target, or None. Reads the data, for its hash."""
    return _Planner(recipe, target, data_root, runtimes, device, judged_here).plan()


def format_runtimes(formats: list[str], runtimes: list[str]) -> list[tuple[str, str]]:
    """(format, runtime) pairs, formats in the order given."""
    by_format = [(runtime_named(runtime).format, runtime) for runtime in runtimes]
    return [(name, runtime) for name in formats for made_for, runtime in by_format if made_for == name]


class _Planner:
    """Collects the steps of one plan."""

    def __init__(
        self, recipe: Recipe, target: str, data_root: Path, runtimes: Mapping[str, str | None], device: str, judged_here: bool
    ) -> None:
        self.recipe, self.target, self.runtimes, self.device = recipe, target, runtimes, device
        self.judged_here = judged_here
        self.data_root = data_root
        self.data: Json = {**_json(recipe.data), "root": str(data_root)}
        self.data_hashes: dict[str, str] = {}
        """By data set (as JSON): the hash of its options and files."""
        self._data_hash(recipe.data)
        self.provers = {find("runtime", name).format: name for name in names("runtime")}
        """By format: the runtime that proves a file here, whatever runs it on the target."""
        self.domain: Domain | None = None
        """Of the data, read when a technique asks for the model."""
        self.steps: dict[str, Step] = {}
        self.cells: list[Cell] = []

    def plan(self) -> Plan:
        if self.recipe.data.name.endswith(".py"):
            self._domain()  # our own sets are tested, a user's are looked at
        for entry in self.recipe.models:
            self._model(entry)
        return Plan(self.recipe, self.target, self._needed(), tuple(self.cells))

    def _needed(self) -> tuple[Step, ...]:
        """The steps that some cell comes from: nothing is trained for what cannot be had."""
        cells = [cell for cell in self.cells if not cell.unavailable]
        waiting = [key for cell in cells for key in (cell.evaluation or cell.artifact, *cell.seeds)]
        waiting += [cell.sensitivity for cell in cells if cell.sensitivity]
        needed: set[str] = set()
        while waiting:
            key = waiting.pop()
            if key not in needed:
                needed.add(key)
                waiting += self.steps[key].inputs
        return tuple(step for key, step in self.steps.items() if key in needed)

    def _model(self, entry: ModelEntry) -> None:
        self._check_pretrained(entry)
        reference = self._train(entry, self.recipe.seed)
        more = range(1, entry.seeds) if self.judged_here else ()
        seeds = [self._another(entry, self.recipe.seed + number) for number in more]
        self._variant(entry, REFERENCE, (), (reference,), tuple(seeds))
        for variant in self.recipe.variants:
            if variant.models is not None and entry.label not in variant.models:
                continue
            self._check(entry.family, variant)
            keys = [reference]
            for spec in variant.steps:
                teacher: str | None = spec.build().learns_from()
                given = reference if teacher is None else self._train(self._entry(teacher), self.recipe.seed)
                keys.append(self._technique(entry, variant.name, spec, keys[-1], given))
            self._variant(entry, variant.name, variant.steps, tuple(keys))

    def _check(self, family: Spec, variant: Variant) -> None:
        """Options that name a model's layers, or another model, are held against them now, not when they are trained."""
        models = {entry.label: entry.family for entry in self.recipe.models}
        for index, spec in enumerate(variant.steps):
            technique: Technique = spec.build()
            where = f"{self.recipe.path.name}: {variant.name}.steps[{index}]"
            teacher = technique.learns_from()
            if teacher is not None and teacher not in models:
                raise unknown("model", teacher, models, where)
            try:
                technique.check(Outlook(family, models, self._domain))
            except UserError as error:
                raise UserError(f"{where}: {error}") from None
            family = technique.family(family)

    def _check_pretrained(self, entry: ModelEntry) -> None:
        """A model goes from one domain to another only where it is the same module in both."""
        if entry.pretrained is None:
            return
        theirs, ours = entry.pretrained.build().load(self.data_root).domain, self._domain()
        for part in ("inputs", "classes", "targets", "vocabulary"):
            if getattr(theirs, part) != getattr(ours, part):
                found = f"{part} of {theirs.name} are {_told(getattr(theirs, part))}"
                where = f"{self.recipe.path.name}: {entry.label}: pretrained"
                raise UserError(f"{where}: {found}, of {ours.name} {_told(getattr(ours, part))}; they must be the same")

    def _entry(self, label: str) -> ModelEntry:
        return next(entry for entry in self.recipe.models if entry.label == label)

    def _domain(self) -> Domain:
        if self.domain is None:
            with blamed(self.recipe.data):
                data = self.recipe.data.build().load(self.data_root)
                check(data, self.recipe.data.name)
            self.domain = data.domain
        return self.domain

    def _data_hash(self, data: Spec) -> str:
        name = json.dumps(_json(data), sort_keys=True)
        if name not in self.data_hashes:
            with blamed(data):
                files = data.build().files(self.data_root)
            self.data_hashes[name] = _hash([_named(data), [file_sha256(path) for path in files]])
        return self.data_hashes[name]

    def _train(self, entry: ModelEntry, seed: int) -> str:
        return self._step(
            "train",
            f"{entry.label}: train" + (f" (seed {seed})" if seed != self.recipe.seed else ""),
            {"model": _json(entry.family), "train": values(entry.train), "seed": seed},
            (),
            [source_file("model", entry.family.name)],
            entry.pretrained,
        )

    def _another(self, entry: ModelEntry, seed: int) -> str:
        """The evaluation of the reference trained from another seed, by torch; nothing else is made of it."""
        variant = f"seed {seed}"
        artifact = self._export(entry, variant, YARDSTICK, YARDSTICK, self._train(entry, seed))
        return self._evaluate(entry, variant, YARDSTICK, (artifact,))

    def _technique(self, entry: ModelEntry, variant: str, spec: Spec, model: str, reference: str) -> str:
        return self._step(
            "compress",
            f"{entry.label}/{variant}: {Path(spec.name).stem}",
            {"technique": _json(spec), "train": values(entry.train), "seed": self.recipe.seed},
            (model, reference),
            [source_file("technique", spec.name), source_file("model", entry.family.name)],
        )

    def _variant(
        self, entry: ModelEntry, variant: str, history: tuple[Spec, ...], keys: tuple[str, ...], seeds: tuple[str, ...] = ()
    ) -> None:
        formats = list(self.recipe.formats)
        if variant == REFERENCE and YARDSTICK not in formats:
            formats.append(YARDSTICK)  # each reference runs in torch eager too: what everything else is held against
        artifacts: dict[str, str] = {}
        for name, runtime in format_runtimes(formats, list(self.runtimes)):
            row = (entry.label, variant, name, runtime, history, keys)
            if missing := self.runtimes[runtime]:
                self.cells.append(Cell(*row, "", None, entry.family, unavailable=missing))
                continue
            if name not in artifacts:
                artifacts[name] = self._export(entry, variant, name, self.provers[name], keys[-1])
            reference = () if variant == REFERENCE else (f"evaluate {entry.label}/{REFERENCE}/{runtime}",)
            evaluation = self._evaluate(entry, variant, runtime, (artifacts[name], *reference)) if self.judged_here else None
            own = seeds if name == YARDSTICK else ()
            sensitivity = self._sensitivity(entry, variant, _weighed(history, keys)) if reader(name) else None
            self.cells.append(Cell(*row, artifacts[name], evaluation, entry.family, own, sensitivity=sensitivity))

    def _export(self, entry: ModelEntry, variant: str, name: str, runtime: str, model: str) -> str:
        return self._step(
            "export",
            f"{entry.label}/{variant}: {name}",
            {"format": name, "runtime": runtime, "seed": self.recipe.seed},
            (model,),
            [source_file("format", name), source_file("runtime", runtime), source_file("model", entry.family.name)],
        )

    def _sensitivity(self, entry: ModelEntry, variant: str, model: str) -> str:
        label = f"{entry.label}/{variant}: sensitivity of its weights"
        return self._step("sensitivity", label, {}, (model,), [source_file("model", entry.family.name)])

    def _evaluate(self, entry: ModelEntry, variant: str, runtime: str, inputs: tuple[str, ...]) -> str:
        key = f"evaluate {entry.label}/{variant}/{runtime}"
        task: Json = {"runtime": runtime, "data": self.data, "threads": self.recipe.threads}
        self.steps[key] = Step(key, "evaluate", f"{entry.label}/{variant}: {runtime} accuracy", task, inputs, stored=False)
        return key

    def _step(
        self, kind: str, label: str, task: Json, inputs: tuple[str, ...], code: list[Path], data: Spec | None = None
    ) -> str:
        data = data or self.recipe.data
        source = digest([STEPS / f"{kind}.py", source_file("data", data.name), *code])
        # A user's file counts by its content (in `source`), not by where it lies.
        plain = {
            name: _named(Spec(**value)) if isinstance(value, dict) and "kind" in value else value for name, value in task.items()
        }
        label = f"{Path(data.name).stem} {self.recipe.preset} {label}"
        key = _hash([kind, plain, inputs, self._data_hash(data), source])
        task = {**task, "data": {**_json(data), "root": str(self.data_root)}, "device": self.device}
        self.steps.setdefault(key, Step(key, kind, label, task, inputs))
        return key


def _weighed(history: tuple[Spec, ...], keys: tuple[str, ...]) -> str:
    """The key of the first of a chain's models that has the weights of the last: a precision alone changes none."""
    first = keys[0]
    for spec, key in zip(history, keys[1:], strict=True):
        technique: Technique = spec.build()
        first = first if technique.fixes_precision and technique.keeps_weights else key
    return first


def _json(spec: Spec) -> Json:
    return {"kind": spec.kind, "name": spec.name, "options": spec.options}


def _told(value: Any) -> str:
    """A part of a domain, in a few words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {spec.dtype} {list(spec.shape)}" for name, spec in value.items()) or "none"
    return f"{len(value)} symbols ({' '.join(value[:3])} ...)" if isinstance(value, tuple) else str(value)


def _named(spec: Spec) -> list[Any]:
    return ["a user's file" if spec.name.endswith(".py") else spec.name, spec.options]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def workers() -> int:
    """How many steps run at once: one a core."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1))
