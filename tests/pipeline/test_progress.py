from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from pipeline.execute import Outcome
from pipeline.plan import Step
from pipeline.progress import RunWatcher, bar

STEPS = [
    Step("a", "train", "digits quick mlp: train", {}),
    Step("e", "evaluate", "mlp: accuracy", {}, stored=False),
    Step("b", "export", "digits quick mlp/reference: onnx", {}),
]


@pytest.fixture
def text() -> io.StringIO:
    return io.StringIO()


def test_without_a_terminal_a_line_for_each_step_that_is_kept(text: io.StringIO) -> None:
    with RunWatcher(Console(file=text, width=200), STEPS, {}) as watcher:
        for step in STEPS:
            watcher.started(step)
            watcher.progress(step, 1, 2, "half")
            watcher.finished(step, Outcome("ok", seconds=1.26))
    assert text.getvalue().splitlines() == [
        "[1/2] digits quick mlp: train (1.3 s)",
        "[2/2] digits quick mlp/reference: onnx (1.3 s)",
    ]


def test_what_fails_is_said_once_with_its_reason_and_not_again_for_what_needs_it(text: io.StringIO) -> None:
    with RunWatcher(Console(file=text, width=200), STEPS, {}) as watcher:
        watcher.finished(STEPS[0], Outcome("failed", reason="loss is [nan]"))
        watcher.finished(STEPS[2], Outcome("failed", reason="loss is [nan]", inherited=True))
    assert text.getvalue().splitlines() == ["digits quick mlp: train: failed: loss is [nan]"]


def test_in_a_terminal_bars_come_and_go_and_only_failures_stay(text: io.StringIO) -> None:
    console = Console(file=text, force_terminal=True, width=120)
    with RunWatcher(console, STEPS, {"a": 3.0}) as watcher:
        watcher.started(STEPS[0])
        watcher.progress(STEPS[0], 1, 2, "epoch 1")
        watcher.finished(STEPS[0], Outcome("ok"))
        watcher.finished(STEPS[1], Outcome("unsupported", reason="no kernel"))
        watcher.finished(STEPS[2], Outcome("unsupported", reason="no kernel", inherited=True))
    assert "mlp: accuracy: unsupported: no kernel" in text.getvalue()
    assert "train (" not in text.getvalue()


def test_when_only_measurements_are_left_the_bars_still_work(text: io.StringIO) -> None:
    with RunWatcher(Console(file=text, force_terminal=True), [STEPS[1]], {}) as watcher:
        watcher.started(STEPS[1])
        watcher.finished(STEPS[1], Outcome("ok"))
    assert STEPS[1].label in text.getvalue()


def test_a_single_piece_of_work_logs_a_line_every_ten_seconds(text: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 11.0, 12.0, 25.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with bar(Console(file=text, width=200), "fetching") as progress:
        for done in (1, 2, 3, 4):
            progress(done, 4, "a.gz")
    assert text.getvalue().splitlines() == ["fetching: 50% a.gz", "fetching: 100% a.gz"]
