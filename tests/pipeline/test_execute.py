"""Runs made-up steps in real worker processes, in a copy of the code that has one more kind of step: `toy`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.store import Store

TOY = """
import os, signal, time
from pipeline.core import ParityError, Unsupported
from pipeline.errors import UserError

ERRORS = {"unsupported": Unsupported, "parity": ParityError, "user": UserError, "bug": ZeroDivisionError}

def run(task, inputs, folder, tools):
    print("a library talks on standard output")
    for tick in range(task.get("ticks", 0)):
        tools.progress(tick, task["ticks"], "ticking")
        time.sleep(0.12)
    if "error" in task:
        raise ERRORS[task["error"]](task["reason"])
    if task.get("kill") and not os.path.exists(task["kill"]):
        open(task["kill"], "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "out").write_text("x")
    return {"sum": 1 + sum(given.facts["sum"] for given in inputs), "pid": os.getpid()}
"""

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from pipeline.errors import UserError
from pipeline.execute import Outcome, execute
from pipeline.plan import Step
from pipeline.store import Store

home = Path(sys.argv[1])
steps = tuple(Step(key, "toy", key, task, tuple(inputs)) for key, inputs, task in json.loads(sys.argv[2]))
home.mkdir(parents=True, exist_ok=True)
store, events = Store(home / "store"), []

class Watcher:
    def started(self, step): events.append(["started", step.key])
    def progress(self, step, done, total, what): events.append(["progress", step.key])
    def finished(self, step, outcome):
        events.append(["finished", step.key])
        if step.label == sys.argv[4]:  # ends the worker that has just become idle
            os.kill(outcome.facts["pid"], signal.SIGKILL)
            time.sleep(0.5)

cached = {step.key: Outcome("ok", entry.facts, cached=True) for step in steps if (entry := store.get(step.key))}
try:
    outcomes = execute(steps, cached, store, home, int(sys.argv[3]), Watcher())
    found = {key: vars(outcome) for key, outcome in outcomes.items()}
except UserError as error:
    found = {"stopped": str(error)}
print(json.dumps([found, events]))
"""

Steps = list[tuple[str, list[str], dict[str, Any]]]
Execute = Callable[..., tuple[dict[str, Any], list[list[str]]]]


@pytest.fixture
def toy(own_checkout: Any) -> Any:
    (own_checkout.root / "pipeline/steps/toy.py").write_text(TOY)
    return own_checkout


@pytest.fixture
def execute(toy: Any) -> Execute:
    """Outcomes and events of an execution in a process of its own."""

    def run(steps: Steps, workers: int = 2, kill_after: str = "") -> tuple[dict[str, Any], list[list[str]]]:
        command = [sys.executable, "-c", SCRIPT, str(toy.home), json.dumps(steps), str(workers), kill_after]
        done = subprocess.run(command, cwd=toy.root, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        found: tuple[dict[str, Any], list[list[str]]] = json.loads(done.stdout)
        return found

    return run


def test_each_step_runs_once_after_what_it_needs_and_a_second_run_runs_none(execute: Execute, toy: Any) -> None:
    steps: Steps = [("a", [], {"ticks": 3}), ("b", ["a"], {}), ("c", ["a"], {}), ("d", ["b", "c"], {})]
    outcomes, events = execute(steps)
    assert {key: outcome["facts"]["sum"] for key, outcome in outcomes.items()} == {"a": 1, "b": 2, "c": 2, "d": 5}
    for kind in ("started", "finished"):
        assert sorted(key for what, key in events if what == kind) == ["a", "b", "c", "d"]
    assert events.index(["finished", "a"]) < events.index(["started", "b"])
    assert max(events.index(["finished", key]) for key in "bc") < events.index(["started", "d"])
    assert ["progress", "a"] in events
    again, nothing = execute(steps)
    assert nothing == [] and all(outcome["cached"] for outcome in again.values())
    assert sorted(Store(toy.home / "store").keys()) == ["a", "b", "c", "d"]


def test_a_step_that_fails_takes_what_needs_it_along_and_nothing_else(execute: Execute, toy: Any) -> None:
    outcomes, events = execute(
        [
            ("good", [], {}),
            ("cannot", [], {"error": "unsupported", "reason": "no int8 kernel"}),
            ("wrong", [], {"error": "parity", "reason": "outputs differ by 3"}),
            ("bug", [], {"error": "bug", "reason": "two\nlines"}),
            ("after cannot", ["cannot"], {}),
            ("after both", ["good", "after cannot"], {}),
            ("after good", ["good"], {}),
        ]
    )
    found = {key: (outcome["status"], outcome["reason"], outcome["inherited"]) for key, outcome in outcomes.items()}
    assert found == {
        "good": ("ok", None, False),
        "after good": ("ok", None, False),
        "cannot": ("unsupported", "no int8 kernel", False),
        "after cannot": ("unsupported", "no int8 kernel", True),
        "after both": ("unsupported", "no int8 kernel", True),
        "wrong": ("failed", "outputs differ by 3", False),
        "bug": ("failed", "ZeroDivisionError: two lines", False),
    }
    assert ["started", "after cannot"] not in events
    assert "Traceback" in (toy.home / "worker.log").read_text(), "the bug's whole story is in the log"
    assert sorted(Store(toy.home / "store").keys()) == ["after good", "good"]
    assert not list((toy.home / "store" / "tmp").iterdir())


def test_bad_input_that_a_step_finds_ends_the_run_with_its_words(execute: Execute) -> None:
    stopped, _ = execute([("a", [], {"error": "user", "reason": "label 12 is not 0 to 9"}), ("b", ["a"], {})])
    assert stopped == {"stopped": "a: label 12 is not 0 to 9"}


def test_a_worker_that_is_killed_at_work_ends_the_run_in_one_line_and_the_next_finishes(
    execute: Execute, tmp_path: Path, toy: Any
) -> None:
    steps: Steps = [("a", [], {}), ("b", ["a"], {"kill": str(tmp_path / "killed")}), ("c", ["b"], {})]
    stopped, _ = execute(steps, 1)
    assert stopped["stopped"].startswith("b: the worker process died") and "worker.log; run again" in stopped["stopped"]
    assert Store(toy.home / "store").keys() == ["a"]
    outcomes, _ = execute(steps, 1)
    assert [outcomes[key]["status"] for key in "abc"] == ["ok"] * 3 and outcomes["a"]["cached"]


def test_a_worker_that_is_killed_when_idle_is_replaced(execute: Execute) -> None:
    outcomes, _ = execute([("a", [], {}), ("b", ["a"], {}), ("c", ["b"], {})], 1, kill_after="a")
    assert [outcomes[key]["status"] for key in "abc"] == ["ok"] * 3
    assert outcomes["a"]["facts"]["pid"] != outcomes["b"]["facts"]["pid"] == outcomes["c"]["facts"]["pid"]


def test_workers_work_side_by_side(execute: Execute) -> None:
    outcomes, _ = execute([("a", [], {"ticks": 20}), ("b", [], {"ticks": 20})], 2)
    assert outcomes["a"]["facts"]["pid"] != outcomes["b"]["facts"]["pid"]
