"""The plan as a tree: what is cached, what would run, and how long that took before."""

from __future__ import annotations

from dataclasses import dataclass

from rich.tree import Tree

from pipeline.core import Json
from pipeline.execute import Outcome
from pipeline.plan import Plan, Step
from pipeline.store import Corrupt, Store


@dataclass(frozen=True)
class State:
    """What the store already has of a plan."""

    cached: dict[str, Outcome]
    damaged: tuple[str, ...]
    """One line for each entry whose bytes were wrong; they were removed and will be made again."""
    expected: dict[str, float]
    """Seconds that a step of the same label took the last time, by key."""


def inspect(plan: Plan, store: Store, *, mend: bool) -> State:
    """Verifies every entry that the plan could reuse; with `mend` removes the damaged ones."""
    cached: dict[str, Outcome] = {}
    damaged: list[str] = []
    for step in plan.steps:
        if not step.stored:
            continue
        try:
            entry = store.get(step.key)
        except Corrupt as error:
            damaged.append(str(error))
            if mend:
                store.mend(step.key)
            continue
        if entry:
            cached[step.key] = Outcome("ok", entry.facts, cached=True)
    seconds = {entry.label: entry.seconds for entry in sorted(store.entries(), key=lambda entry: entry.created)}
    expected = {step.key: seconds[step.label] for step in plan.steps if step.label in seconds}
    return State(cached, tuple(damaged), expected)


def tree(plan: Plan, state: State) -> Tree:
    """Models, their variants, and each variant's steps; a step that variants share is shown where it first runs."""
    steps = {step.key: step for step in plan.steps}
    remaining = [step for step in plan.steps if step.stored and step.key not in state.cached]
    known = [state.expected[step.key] for step in remaining if step.key in state.expected]
    estimate = f", about {sum(known):.0f} s of work known" if known else ""
    root = Tree(f"{plan.recipe.name} ({plan.recipe.preset}) on {plan.target}: {len(remaining)} steps to run{estimate}")
    shown: set[str] = set()
    models: dict[str, Tree] = {}
    variants: dict[tuple[str, str], Tree] = {}
    for cell in plan.cells:
        if cell.model not in models:
            models[cell.model] = root.add(cell.model)
        place = (cell.model, cell.variant)
        if place not in variants:
            variants[place] = models[cell.model].add(cell.variant)
        for key in (*cell.model_keys, cell.artifact, cell.sensitivity):
            if key in steps and key not in shown:
                shown.add(key)
                variants[place].add(_line(steps[key], state))
        variants[place].add(f"measure in {cell.runtime}: {cell.unavailable or 'will run'}")
    return root


def as_json(plan: Plan, state: State) -> Json:
    """The same for programs."""
    return {
        "recipe": str(plan.recipe.path),
        "target": plan.target,
        "steps": [
            {
                "key": step.key,
                "kind": step.kind,
                "label": step.label,
                "cached": step.key in state.cached,
                "expected_seconds": state.expected.get(step.key),
            }
            for step in plan.steps
        ],
    }


def _line(step: Step, state: State) -> str:
    what = step.label.split(": ", 1)[1]
    if step.key in state.cached:
        return f"[dim]{what}: cached[/dim]"
    seconds = state.expected.get(step.key)
    return f"{what}: will run" + (f" (about {seconds:.0f} s)" if seconds is not None else "")
