"""What is done after the measuring: looking into every exported file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pipeline.anatomy._parts import reader
from pipeline.core import Json
from pipeline.execute import Outcome
from pipeline.plan import Cell, Plan, Step

if TYPE_CHECKING:
    from targets._device import Target

Outcomes = Mapping[str, Outcome]
ELSEWHERE = "profiled only where the run measures on this machine"


def key(cell: Cell) -> str:
    """Of the step that looks into a cell's file; its folder in the run's evidence, too."""
    return f"layers/{cell.model}/{cell.variant}/{cell.runtime}"


def audit(plan: Plan, outcomes: Outcomes, target: Target, run: Callable[[tuple[Step, ...], Outcomes], Outcomes]) -> Outcomes:
    """The outcomes of looking into every cell's file, by `key`, and those given. `run` executes steps."""
    cells = [cell for cell in plan.cells if not cell.unavailable and outcomes[cell.artifact].status == "ok"]
    here = target.judges is None and target.provenance == "measured"
    steps = (_looking(plan, cell, cell.sensitivity, outcomes, here) for cell in cells if cell.sensitivity)
    return run(tuple(steps), outcomes)


def _looking(plan: Plan, cell: Cell, sensitive: str, outcomes: Outcomes, here: bool) -> Step:
    """The step of a cell. A model whose sensitivities could not be had is looked into without them."""
    found = reader(cell.format)
    assert found is not None  # a cell of another format has no sensitivities
    here = here and cell.runtime == found.RUNTIME
    task: Json = {
        "format": cell.format,
        "runtime": cell.runtime,
        "threads": plan.recipe.threads,
        "here": here,
        "untimed": ELSEWHERE,
    }
    inputs = (cell.artifact, cell.model_keys[-1], *([sensitive] if outcomes[sensitive].status == "ok" else []))
    label = f"{cell.model}/{cell.variant}: what is in its {cell.format} file"
    return Step(key(cell), "anatomy", label, task, inputs, stored=False)
