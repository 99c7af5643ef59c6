"""A worker process by itself: JSON lines in, JSON lines out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.store import Store

TALK = """
import os, subprocess, sys, tempfile, time

def run(task, inputs, folder, tools):
    print("on standard output")
    os.write(1, b"on descriptor 1\\n")
    subprocess.run([sys.executable, "-c", "print('a child')"])
    with tempfile.NamedTemporaryFile(delete=False) as left:
        left.write(b"left behind")
    tools.progress(1, 2, "half")
    time.sleep(task["seconds"])
    (folder / "out").write_text("x")
    return {"temporary": left.name}
"""


@pytest.fixture
def worker(own_checkout: Any) -> Iterator[subprocess.Popen[str]]:
    (own_checkout.root / "pipeline/steps/talk.py").write_text(TALK)
    command = [sys.executable, "-m", "pipeline.worker"]
    with subprocess.Popen(command, cwd=own_checkout.root, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True) as process:
        yield process
        process.kill()


def task(home: Path, key: str = "k1", seconds: float = 0) -> str:
    store = str(home / "store")
    task = {"key": key, "kind": "talk", "label": key, "task": {"seconds": seconds}, "store": store, "folder": None}
    return json.dumps({**task, "inputs": [], "threads": 1}) + "\n"


def test_only_the_protocol_comes_out_and_temporary_files_go(worker: Any, own_checkout: Any) -> None:
    worker.stdin.write(task(own_checkout.home) + task(own_checkout.home))
    worker.stdin.flush()
    progress, first, *_ = [json.loads(worker.stdout.readline()) for _ in range(2)]
    assert progress == {"id": "k1", "progress": [1, 2, "half"]}
    assert (first["status"], first["cached"]) == ("ok", False)
    temporary = Path(first["facts"]["temporary"])
    assert temporary.is_relative_to(own_checkout.home) and not temporary.exists()
    entry = Store(own_checkout.home / "store").get("k1")
    assert entry and list(entry.files) == ["out"]
    again = json.loads(worker.stdout.readline())
    assert (again["status"], again["cached"], again["facts"]) == ("ok", True, first["facts"])


def test_when_its_input_ends_it_ends_even_at_work_and_frees_its_lock(worker: Any, own_checkout: Any) -> None:
    worker.stdin.write(task(own_checkout.home, seconds=300))
    worker.stdin.flush()
    assert "progress" in worker.stdout.readline()
    store = Store(own_checkout.home / "store")
    with store.lock("k1", wait=False) as held:
        assert not held
    started = time.monotonic()
    worker.stdin.close()
    assert worker.wait(timeout=10) == 0 and time.monotonic() - started < 5
    with store.lock("k1", wait=False) as held:
        assert held and store.keys() == []


def test_it_waits_for_a_step_that_another_run_is_doing_and_takes_its_result(worker: Any, own_checkout: Any) -> None:
    store = Store(own_checkout.home / "store")
    with store.lock("k1"):
        worker.stdin.write(task(own_checkout.home))
        worker.stdin.flush()
        assert json.loads(worker.stdout.readline())["progress"][2] == "waiting: another run is doing this step"
        with store.writing("k1") as folder:
            store.commit(folder, "k1", kind="talk", label="k1", inputs=(), seconds=9, facts={"made": "elsewhere"})
    answer = json.loads(worker.stdout.readline())
    assert (answer["status"], answer["cached"], answer["facts"]) == ("ok", True, {"made": "elsewhere"})
