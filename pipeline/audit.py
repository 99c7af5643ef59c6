"""What is done after the measuring: looking into every exported file, and asking each model what it minds."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.anatomy._parts import reader
from pipeline.core import Json
from pipeline.execute import Outcome
from pipeline.places import data_root
from pipeline.plan import STEPS, Cell, Plan, Step
from pipeline.registry import source_file
from pipeline.sources import digest

if TYPE_CHECKING:
    from targets._device import Target

Outcomes = Mapping[str, Outcome]
Run = Callable[[tuple[Step, ...], Outcomes], Outcomes]
"""Executes steps, given the outcomes of what they need; returns those and theirs."""
ELSEWHERE = "profiled only where the run measures on this machine"


def key(cell: Cell) -> str:
    """Of the step that looks into a cell's file; its folder in the run's evidence, too."""
    return f"layers/{cell.model}/{cell.variant}/{cell.runtime}"


def audit(plan: Plan, outcomes: Outcomes, target: Target, run: Run) -> Outcomes:
    """The outcomes of looking into every cell's file, by `key`."""
    cells = [cell for cell in plan.cells if not cell.unavailable and reader(cell.format)]
    cells = [cell for cell in cells if outcomes[cell.artifact].status == "ok"]
    asked = {cell.model_keys[-1]: cell for cell in cells}
    minding = {model: _minding(plan, cell) for model, cell in asked.items()}
    minded = run(tuple(minding.values()), outcomes)
    here = target.judges is None and target.provenance == "measured"
    return run(tuple(_looking(plan, cell, minding[cell.model_keys[-1]].key, minded, here) for cell in cells), minded)


def _looking(plan: Plan, cell: Cell, sensitive: str, minded: Outcomes, here: bool) -> Step:
    """The step of a cell. A model whose sensitivities could not be had is looked into without them."""
    found = reader(cell.format)
    task: Json = {"format": cell.format, "runtime": cell.runtime, "threads": plan.recipe.threads}
    task |= {"here": here and found is not None and cell.runtime == found.RUNTIME, "untimed": ELSEWHERE}
    inputs = (cell.artifact, cell.model_keys[-1], *([sensitive] if minded[sensitive].status == "ok" else []))
    label = f"{cell.model}/{cell.variant}: what is in its {cell.format} file"
    return Step(key(cell), "anatomy", label, task, inputs, stored=False)


def _minding(plan: Plan, cell: Cell) -> Step:
    """Stored: it depends on the model, the data and the code alone."""
    model, data = cell.model_keys[-1], plan.recipe.data
    content = hashlib.sha256(f"{model} {plan.recipe.seed} {_code(data.name, cell.family.name)}".encode()).hexdigest()
    described = {"kind": "data", "name": data.name, "options": data.options, "root": str(data_root())}
    label = f"{Path(data.name).stem} {plan.recipe.preset} {cell.model}/{cell.variant}: sensitivity of its weights"
    return Step(content, "sensitivity", label, {"seed": plan.recipe.seed, "data": described}, (model,))


@functools.cache
def _code(data: str, family: str) -> str:
    return digest([STEPS / "sensitivity.py", source_file("data", data), source_file("model", family)])
