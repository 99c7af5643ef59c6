"""Runs a plan's steps here: one worker process a core, each step as soon as what it needs is there."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, Protocol

from pipeline.core import Json
from pipeline.errors import UserError
from pipeline.plan import Step
from pipeline.registry import ROOT
from pipeline.store import Store

Status = Literal["ok", "unsupported", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How a step ended. `facts` are what it found; `reason` is one line when it is not ok."""

    status: Status
    facts: Json = field(default_factory=dict)
    reason: str | None = None
    cached: bool = False
    seconds: float = 0.0
    inherited: bool = False
    """Not run, because a step that it needs is not ok."""


class Watcher(Protocol):
    """Whoever shows a run's progress."""

    def started(self, step: Step) -> None:
        """A step begins."""

    def progress(self, step: Step, done: float, total: float, what: str) -> None:
        """A step got further."""

    def finished(self, step: Step, outcome: Outcome) -> None:
        """A step ended, or was given up because of another's failure."""


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    step: Step | None = None
    listener: threading.Thread = field(init=False)
    """Hands on what the process says, until it ends."""

    def send(self, task: Json) -> None:
        assert self.process.stdin is not None  # Popen was given a pipe
        with contextlib.suppress(BrokenPipeError):  # a worker that died is heard of where its answers come in
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()


def execute(
    steps: tuple[Step, ...], cached: Mapping[str, Outcome], store: Store, run_folder: Path, workers: int, watcher: Watcher
) -> dict[str, Outcome]:
    """Runs what is not cached; returns every step's outcome. A UserError from a step ends the run, the others' work kept."""
    outcomes = dict(cached)
    waiting = [step for step in steps if step.key not in outcomes]
    if not waiting:
        return outcomes
    measured = {step.key for step in steps if not step.stored}
    pool = _Pool(workers, store, run_folder, measured, watcher)
    try:
        while waiting or pool.busy:
            _skip_hopeless(waiting, outcomes, watcher)
            pool.give([step for step in waiting if all(key in outcomes for key in step.inputs)], waiting)
            if pool.busy:
                step, outcome = pool.wait()
                outcomes[step.key] = outcome
    finally:
        pool.close()
    return outcomes


def _skip_hopeless(waiting: list[Step], outcomes: dict[str, Outcome], watcher: Watcher) -> None:
    """What needs a step that is not ok takes over its status and reason."""
    for step in list(waiting):
        broken = [outcomes[key] for key in step.inputs if key in outcomes and outcomes[key].status != "ok"]
        if broken:
            outcomes[step.key] = Outcome(broken[0].status, reason=broken[0].reason, inherited=True)
            watcher.finished(step, outcomes[step.key])
            waiting.remove(step)


class _Pool:
    """Worker processes, and the queue on which they answer."""

    def __init__(self, count: int, store: Store, run_folder: Path, measured: set[str], watcher: Watcher) -> None:
        self._store, self._folder, self._measured, self._watcher = store, run_folder, measured, watcher
        self._messages: queue.Queue[tuple[_Worker, Json | None]] = queue.Queue()
        self._count = count
        self._workers: list[_Worker] = []

    @property
    def busy(self) -> bool:
        return any(worker.step for worker in self._workers)

    def give(self, ready: list[Step], waiting: list[Step]) -> None:
        """Hands ready steps to free workers. A step that runs alone gets every core, otherwise each gets one."""
        for step in ready:
            worker = self._free()
            if worker is None:
                return
            alone = len(ready) == 1 and not self.busy
            waiting.remove(step)
            worker.step = step
            self._watcher.started(step)
            worker.send(self._task(step, self._count if alone else 1))

    def wait(self) -> tuple[Step, Outcome]:
        """The next step to finish."""
        while True:
            worker, message = self._messages.get()
            step = worker.step
            if step is None:
                continue
            if message is None:
                raise UserError(
                    f"{step.label}: the worker process died (killed, or out of memory?): {self._folder}/worker.log; run again"
                )
            if "progress" in message:
                self._watcher.progress(step, *message["progress"])
                continue
            worker.step = None
            if message["status"] == "stop":
                raise UserError(f"{step.label}: {message['reason']}")
            outcome = Outcome(
                message["status"],
                message.get("facts", {}),
                message.get("reason"),
                message.get("cached", False),
                message.get("seconds", 0.0),
            )
            self._watcher.finished(step, outcome)
            return step, outcome

    def close(self) -> None:
        """Ends the workers: at once when idle, and by force when not."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()
            worker.listener.join()
            for pipe in (worker.process.stdin, worker.process.stdout):
                if pipe:
                    with contextlib.suppress(BrokenPipeError):  # what it did not take is of no use any more
                        pipe.close()

    def _free(self) -> _Worker | None:
        for worker in list(self._workers):
            if worker.step is None:
                if worker.process.poll() is None:
                    return worker
                self._workers.remove(worker)  # it died with nothing to do: another takes its place
        if len(self._workers) < self._count:
            self._workers.append(self._start())
            return self._workers[-1]
        return None

    def _start(self) -> _Worker:
        log: IO[str]
        with (self._folder / "worker.log").open("a") as log:
            process = subprocess.Popen(  # our own module
                [sys.executable, "-m", "pipeline.worker"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # ctrl-c reaches us alone; we end the workers
            )
        worker = _Worker(process)
        worker.listener = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        worker.listener.start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None  # Popen was given a pipe
        for line in worker.process.stdout:
            self._messages.put((worker, json.loads(line)))
        self._messages.put((worker, None))

    def _task(self, step: Step, threads: int) -> Json:
        return {
            "key": step.key,
            "kind": step.kind,
            "label": step.label,
            "task": step.task,
            "store": str(self._store.root),
            "folder": self._evidence(step.key),
            "inputs": [{"key": key, "folder": self._evidence(key)} for key in step.inputs],
            "threads": threads,
        }

    def _evidence(self, key: str) -> str | None:
        """The folder of a measurement, which belongs to the run; None for what the store holds."""
        return str(self._folder / "evidence" / key.removeprefix("evaluate ")) if key in self._measured else None
