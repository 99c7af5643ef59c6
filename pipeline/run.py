"""The verb that does it all: recipe -> plan -> execute -> measure -> report."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline import preview
from pipeline.core import Spec
from pipeline.errors import UserError
from pipeline.execute import Outcome, execute
from pipeline.files import write_atomic
from pipeline.options import parse
from pipeline.places import data_root, measuring_lock, runs_root, store_root
from pipeline.plan import Plan, Step, make, workers
from pipeline.progress import RunWatcher, bar
from pipeline.recipe import Recipe, read
from pipeline.registry import find
from pipeline.store import Store

if TYPE_CHECKING:
    from reports.record import Report
    from targets._device import Reached, Target
    from targets._sampling import Measured, MeasureSet


@dataclass(frozen=True)
class Options:
    """The command line of a run."""

    recipe: Path
    target: str
    device: str = ""
    options: tuple[str, ...] = ()
    """Of the target, NAME=VALUE each."""
    sustained: float = 0.0
    """Minutes."""
    preset: str | None = None
    train_device: str = "cpu"
    aa: bool = False
    as_json: bool = False
    publish: Path | None = None
    resume: bool = False


def dry(options: Options) -> int:
    """Prints the plan and does nothing."""
    console = Console(stderr=options.as_json)
    recipe, target = _checked(options)
    with console.status("checking the recipe and the store") as status, target.reach(status.update) as reached:
        plan = _plan(options, recipe, target, reached)
        state = preview.inspect(plan, Store(store_root()), mend=False)
    if options.as_json:
        print(json.dumps(preview.as_json(plan, state), indent=1))
        return 0
    for line in state.damaged:
        console.print(f"damaged: {line}; it would be rebuilt", style="yellow", markup=False, highlight=False)
    console.print(preview.tree(plan, state))
    return 0


def run(options: Options) -> int:
    """Runs the recipe and writes the report; 1 when a cell failed."""
    console = Console(stderr=options.as_json)
    recipe, target = _checked(options)
    with contextlib.ExitStack() as stack:
        with console.status(f"reaching {options.device or options.target}") as status:
            reached = stack.enter_context(target.reach(status.update))
        return _run(options, console, recipe, target, reached)


def _run(options: Options, console: Console, recipe: Recipe, target: Target, reached: Reached) -> int:
    from pipeline.assemble import assemble, by_place, describe
    from pipeline.audit import audit
    from pipeline.candidates import measure_sets
    from reports.document import to_json
    from reports.table import terminal

    store, started = Store(store_root()), time.time()
    with console.status("checking the recipe and the store"):
        plan = _plan(options, recipe, target, reached)
        if options.resume and options.publish and _published(options.publish.with_suffix(".json"), plan):
            console.print(f"{options.publish.with_suffix('.json')} is of this very plan, host and packages", highlight=False)
            return 0
        state = preview.inspect(plan, store, mend=True)
    for line in state.damaged:
        console.print(f"damaged: {line}; rebuilding it", style="yellow", markup=False, highlight=False)
    if not plan.steps:
        reasons = dict.fromkeys(cell.unavailable for cell in plan.cells if cell.unavailable)
        console.print(f"nothing can be run on target {options.target}: {'; '.join(reasons)}", markup=False, highlight=False)
    folder = _run_folder(plan.recipe, started)
    with RunWatcher(console, [step for step in plan.steps if step.key not in state.cached], state.expected) as watcher:
        outcomes = execute(plan.steps, state.cached, store, folder, workers(), watcher)
    sets = measure_sets(plan, outcomes, store, aa=options.aa, judges=target.judges)
    measured = _measure(reached, list(sets.values()), plan, options.sustained, console)
    looked = audit(plan, outcomes, target, partial(_after, store, folder, console))
    with console.status("writing the report"):
        write_atomic(folder / "samples.json", json.dumps(measured.raw).encode())
        about = describe(plan, folder.name, started, _command(), measured)
        report = assemble(plan, looked, by_place(sets, measured), store, about, target.provenance)
        _write(report, folder, options.publish)
    if options.as_json:
        print(json.dumps(to_json(report), indent=1))
    else:
        console.print(terminal(report))
    if options.aa:
        _say_aa(console, report)
    _say_where(console, folder, state.cached, plan, started)
    return 1 if any(record.status == "failed" for record in report.records) else 0


def _published(path: Path, plan: Plan) -> bool:
    """Whether a whole report of the same plan was already published from this host with these packages."""
    from pipeline.assemble import describe
    from reports.document import load

    if not path.is_file():
        return False
    run = load(path).run
    now = describe(plan, run.id, time.time(), run.command)
    return (run.plan, run.host, run.versions) == (now.plan, now.host, now.versions)


def _measure(reached: Reached, sets: list[MeasureSet], plan: Plan, sustained: float, console: Console) -> Measured:
    from targets._sampling import Plan as Measuring
    from targets.device.job import Sampling

    longest = max((len(each.candidates) for each in sets), default=0) * len(sets) * sustained * 60
    sampling = Measuring(
        threads=plan.recipe.threads,
        seed=plan.recipe.seed,
        sampling=Sampling(sustained_seconds=sustained * 60),
        timeout=Measuring.timeout + longest,
    )
    with bar(console, f"measuring on {plan.target}") as progress:
        return reached.measure(sets, measuring_lock(), sampling, progress)


def _after(
    store: Store, folder: Path, console: Console, steps: tuple[Step, ...], outcomes: Mapping[str, Outcome]
) -> dict[str, Outcome]:
    """Steps that come after the measuring, one at a time: a profiler shares the machine with nobody of ours."""
    with RunWatcher(console, list(steps), {}) as watcher:
        return execute(steps, outcomes, store, folder, 1, watcher)


def _say_aa(console: Console, report: Report) -> None:
    """The verdicts of every candidate against itself: anything but `equivalent` or `inconclusive` is false."""
    verdicts = Counter(record.versus_self.verdict for record in report.records if record.versus_self)
    console.print(
        "each candidate against itself: " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    )


def _checked(options: Options) -> tuple[Recipe, Target]:
    """The recipe and a target that can be used. Nothing was reached or written yet when either is refused."""
    given = parse(find("target", options.target, "--target"), options.options, "--option")
    device = {"device": options.device} if options.device else {}
    target: Target = Spec("target", options.target, {**given, **device}).build("--target")
    if (reason := target.usable()) and not target.optional:
        raise UserError(f"target {options.target} is not usable here: {reason}")
    recipe = read(options.recipe, options.preset)
    _refuse_missing_device(options.train_device)
    return recipe, target


def _plan(options: Options, recipe: Recipe, target: Target, reached: Reached) -> Plan:
    """The recipe's plan on a target that answers."""
    return make(recipe, options.target, data_root(), reached.runtimes(), options.train_device, target.judges is None)


def _refuse_missing_device(device: str) -> None:
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UserError(
                "train device cuda is not usable here: torch sees no CUDA device; leave --train-device out to train on the CPU"
            )


def _run_folder(recipe: Recipe, started: float) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(started))
    folder = runs_root() / f"{stamp}-{recipe.name}-{uuid.uuid4().hex[:4]}"
    folder.mkdir(parents=True)
    return folder


def _write(report: Report, folder: Path, publish: Path | None) -> None:
    """report.json, report.md and index.html beside each other; `latest` points at them once they are whole."""
    from reports import document, markdown, page
    from reports.samples import for_others

    document.save(report, folder / "report.json")
    write_atomic(folder / "report.md", markdown.render(report).encode())
    write_atomic(folder / "index.html", page.render(report).encode())
    latest = folder.parent / "latest"
    temporary = folder.parent / f".latest.{uuid.uuid4().hex}"
    temporary.symlink_to(folder.name)
    temporary.replace(latest)
    if publish:
        told = for_others(report)
        document.save(told, publish.with_suffix(".json"))
        write_atomic(publish.with_suffix(".md"), markdown.render(told).encode())


def _command() -> str:
    return shlex.join(["./edgepress", *sys.argv[1:]])


def _say_where(console: Console, folder: Path, cached: dict[str, Outcome], plan: Plan, started: float) -> None:
    stored = sum(step.stored for step in plan.steps)
    console.print(
        f"\n{len(cached)} of {stored} steps were there already; {time.time() - started:.0f} s in all.\n"
        f"The page: {folder / 'index.html'}",
        highlight=False,
        soft_wrap=True,
    )
