"""How long work says how far it is: a bar for the run and one for each running step; plain lines where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.core import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from pipeline.execute import Outcome
    from pipeline.plan import Step


def silent(done: float, total: float, what: str = "") -> None:
    """Progress that nobody sees."""


def bars(console: Console) -> Bars:
    """Progress bars in the house's look: what, how far, how long is left."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    return Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[what]}"),
        console=console,
        transient=True,
    )


@contextmanager
def bar(console: Console, description: str) -> Iterator[Progress]:
    """One bar for a single piece of work; where the console is no terminal, a line every ten seconds."""
    if not console.is_terminal:
        yield _Lines(console, description)
        return
    with bars(console) as shown:
        task = shown.add_task(description, total=None, what="")

        def report(done: float, total: float, what: str = "") -> None:
            shown.update(task, completed=done, total=total, what=what)

        yield report


class _Lines:
    """Progress as plain lines, sparse enough for a log."""

    def __init__(self, console: Console, description: str) -> None:
        self._console, self._description, self._last = console, description, time.monotonic()

    def __call__(self, done: float, total: float, what: str = "") -> None:
        now = time.monotonic()
        if now - self._last > 10:
            self._last = now
            self._console.print(f"{self._description}: {done / max(total, 1e-9):.0%} {what}", highlight=False)


class RunWatcher:
    """Shows a run's steps. The overall bar counts seconds expected where earlier runs tell them, steps where not."""

    def __init__(self, console: Console, steps: list[Step], expected: dict[str, float]) -> None:
        self._console = console
        self._weights = {step.key: max(expected.get(step.key, 1.0), 0.1) for step in steps}
        self._bars = bars(console) if console.is_terminal else None
        self._tasks: dict[str, TaskID] = {}
        self._done = 0
        self._count = sum(step.stored for step in steps)

    def __enter__(self) -> RunWatcher:
        if self._bars and self._weights:
            self._bars.start()
            self._total = self._bars.add_task(f"[bold]{len(self._weights)} steps", total=sum(self._weights.values()), what="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def started(self, step: Step) -> None:
        """A step begins."""
        if self._bars:
            self._tasks[step.key] = self._bars.add_task(step.label, total=None, what="")

    def progress(self, step: Step, done: float, total: float, what: str) -> None:
        """A step got further."""
        if self._bars:
            self._bars.update(self._tasks[step.key], completed=done, total=total, what=what)

    def finished(self, step: Step, outcome: Outcome) -> None:
        """A step ended; anything but `ok` is printed and stays on the screen."""
        self._done += step.stored
        if self._bars:
            if step.key in self._tasks:
                self._bars.remove_task(self._tasks.pop(step.key))
            self._bars.advance(self._total, self._weights.get(step.key, 1.0))
        elif outcome.status == "ok" and step.stored:
            self._console.print(
                f"[{self._done}/{self._count}] {step.label} ({outcome.seconds:.1f} s)", highlight=False, markup=False
            )
        if outcome.status != "ok" and not outcome.inherited:
            self._console.print(f"{step.label}: {outcome.status}: {outcome.reason}", style="yellow", markup=False)
