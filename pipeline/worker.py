"""A worker process: tasks as JSON lines on standard input, progress and outcomes as JSON lines on standard output.

JSON and not pickle, so that the same protocol can later cross a network. When the parent dies, however it dies, standard
input ends and so does the worker.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pipeline.core import Json, ParityError, Unsupported
from pipeline.errors import UserError
from pipeline.files import disk_full
from pipeline.steps.common import Input, Tools
from pipeline.store import Corrupt, Entry, Store

SECONDS_BETWEEN_PROGRESS = 0.1


def main() -> None:
    """Serves tasks until standard input ends."""
    out = _own_output()
    tasks: queue.Queue[Json] = queue.Queue()
    threading.Thread(target=_read, args=(tasks,), daemon=True).start()
    while True:
        task = tasks.get()
        _send(out, {"id": task["key"], **_outcome(task, out)})


def _own_output() -> TextIO:
    """The protocol's stream. What libraries print goes to standard error (the run's log) instead."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


def _read(tasks: queue.Queue[Json]) -> None:
    for line in sys.stdin:
        tasks.put(json.loads(line))
    os._exit(0)  # the parent is gone; nothing that we hold needs more than the locks' release by the system


def _send(out: TextIO, message: Json) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


def _outcome(task: Json, out: TextIO) -> Json:
    """Runs one task; every failure becomes words."""
    store = Store(Path(task["store"]))
    try:
        return {"status": "ok", **_run(task, store, out)}
    except Unsupported as error:
        return {"status": "unsupported", "reason": str(error)}
    except ParityError as error:
        return {"status": "failed", "reason": str(error)}
    except (UserError, Corrupt) as error:
        return {"status": "stop", "reason": str(error)}
    except Exception as error:  # noqa: BLE001  # the process boundary: a library's failure is one cell's, not the run's
        if store.full(error):
            return {"status": "stop", "reason": str(disk_full(store.root))}
        traceback.print_exc()
        text = " ".join(str(error).split())
        return {"status": "failed", "reason": f"{type(error).__name__}: {text[:300]}"}


def _run(task: Json, store: Store, out: TextIO) -> Json:
    import torch

    torch.set_num_threads(task["threads"])
    progress = _Progress(task["key"], out)
    step: Any = importlib.import_module(f"pipeline.steps.{task['kind']}")
    inputs = [_input(store, given) for given in task["inputs"]]
    started = time.monotonic()
    if task["folder"]:  # a measurement: its files belong to the run, not to the store
        folder = Path(task["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        facts = step.run(task["task"], inputs, folder, Tools(folder, progress, task["threads"]))
        return {"facts": facts, "seconds": time.monotonic() - started, "cached": False}
    with _locked(store, task["key"], progress):
        entry = store.get(task["key"])
        if entry:  # another run made it while we waited
            return {"facts": entry.facts, "seconds": 0.0, "cached": True}
        entry = _make(task, step, inputs, store, progress)
        return {"facts": entry.facts, "seconds": entry.seconds, "cached": False}


def _make(task: Json, step: Any, inputs: list[Input], store: Store, progress: _Progress) -> Entry:
    started = time.monotonic()
    with store.writing(task["key"]) as folder, _temporary_files_in(folder / ".temporary"):
        facts = step.run(task["task"], inputs, folder, Tools(store.partial(task["key"]), progress, task["threads"]))
        shutil.rmtree(folder / ".temporary", ignore_errors=True)
        return store.commit(
            folder,
            task["key"],
            kind=task["kind"],
            label=task["label"],
            inputs=tuple(given["key"] for given in task["inputs"]),
            seconds=time.monotonic() - started,
            facts=facts,
        )


def _input(store: Store, given: Json) -> Input:
    if given["folder"]:
        return Input(Path(given["folder"]), {}, {})
    entry = store.get(given["key"])
    if entry is None:
        raise Corrupt(f"the store lost {given['key'][:12]} while the run needed it; run again")
    return Input(store.path(entry.key), {name: digest for name, (_, digest) in entry.files.items()}, entry.facts)


@contextlib.contextmanager
def _locked(store: Store, key: str, progress: _Progress) -> Iterator[None]:
    with store.lock(key, wait=False) as held:
        if held:
            yield
            return
    progress(0, 1, "waiting: another run is doing this step")
    with store.lock(key):
        yield


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Converters' temporary files lie beside what they make, and so go with it, whatever happens."""
    folder.mkdir()
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)  # torch keeps the folder that it found, and would make it again


class _Progress:
    """Sends how far a step is, a few times a second at most."""

    def __init__(self, key: str, out: TextIO) -> None:
        self._key, self._out, self._last = key, out, 0.0

    def __call__(self, done: float, total: float, what: str = "") -> None:
        now = time.monotonic()
        if now - self._last > SECONDS_BETWEEN_PROGRESS:
            self._last = now
            _send(self._out, {"id": self._key, "progress": [done, total, what]})


if __name__ == "__main__":
    main()
