from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUN = ("run", "tiny.toml", "--target", "few_samples")
KILLS = 10

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")]


def test_a_run_killed_at_random_moments_goes_on_from_where_it_was(
    checkout: Any, tiny_recipe: Path, all_gone: Callable[[Any], list[str]]
) -> None:
    """`kill -9` of the main process; its workers must end by themselves, and what was finished must stay as it is."""
    seed = int(os.environ.get("EDGEPRESS_FAULT_SEED") or time.time_ns() % 1_000_000)
    print(f"EDGEPRESS_FAULT_SEED={seed}")
    moments = random.Random(seed)
    finished: dict[str, float] = {}
    at_work = 0
    for number in range(KILLS):
        process = checkout.start(*RUN)
        folder = checkout.home / "store" / "tmp"
        if number % 2:  # every other one just when a step is at work, wherever this machine's speed puts that
            while process.poll() is None and not (folder.is_dir() and any(folder.iterdir())):
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 1.0))
        else:
            time.sleep(moments.uniform(0.0, 7.0))
        at_work += folder.is_dir() and any(folder.iterdir())
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), err
        assert all_gone(checkout) == [], f"after kill {number} with seed {seed}"
        now = checkout.created()
        assert {label: now.get(label) for label in finished} == finished, "what was finished is kept"
        finished = now
    assert at_work, "no kill came while a step was at work"
    done = checkout(*RUN)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert {label: checkout.created()[label] for label in finished} == finished, "and used, not made again"
    checked = checkout("store", "check")
    assert checked.returncode == 0 and "8 entries, 0 wrong" in checked.stdout
    assert not any((checkout.home / "store" / "tmp").iterdir()) and not any((checkout.home / "store" / "partial").iterdir())


def test_ctrl_c_ends_a_run_in_one_line_and_its_workers_with_it(
    checkout: Any, tiny_recipe: Path, all_gone: Callable[[Any], list[str]]
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and their children
    process = checkout.start(*RUN)
    signal.signal(signal.SIGINT, before)
    while not (checkout.home / "store" / "tmp").is_dir():
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.strip() == "edgepress: interrupted; finished steps are kept, run again to go on"
    assert all_gone(checkout) == []


def test_a_worker_killed_by_the_system_is_one_line(checkout: Any, tiny_recipe: Path, ours: Callable[[Any], list[str]]) -> None:
    process = checkout.start(*RUN)
    while not (checkout.home / "store" / "tmp").is_dir():
        time.sleep(0.02)
        assert process.poll() is None
    for line in ours(checkout):
        if "pipeline.worker" in line:
            os.kill(int(line.split(":")[0]), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and err.count("\n") == 1, err
    assert "the worker process died (killed, or out of memory?)" in err and "run again" in err
    assert checkout("store", "check").returncode == 0
