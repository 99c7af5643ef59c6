"""Instructions of one inference on an emulated board: how much work a file is there, where time cannot be told.

Counts are not time: they know nothing of caches, of what runs beside, or of how long an instruction takes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from targets.device.job import JOB, RESULT
from targets.emulator.root import Board
from targets.transport.remote import Remote

SOURCE = Path(__file__).with_name("count.c")


@dataclass(frozen=True)
class Counted:
    """A board's transport that counts instructions besides, here, of the same files with the same Python and packages."""

    remote: Remote
    board: Board
    root: Path

    def run(self, job: Path, result: Path, threads: int, timeout: float, heard: Callable[[str], None]) -> None:
        """What the board says, each candidate with its `instructions`."""
        self.remote.run(job, result, threads, timeout, heard)
        code, site = (self.root / place.relative_to("/") for place in (self.remote.place.code, self.remote.place.site))
        heard("waiting: counting instructions")
        counted = count(self.board, self.root, job, [code, site], self.root.parent)
        body = json.loads((result / RESULT).read_text())
        for number, name in enumerate(json.loads((job / JOB).read_text())["candidates"]):
            if "error" not in body["candidates"][name]:
                body["candidates"][name]["instructions"] = counted.get(number, [])
        (result / RESULT).write_text(json.dumps(body))


def unusable(board: Board) -> str | None:
    """Why instructions cannot be counted here; None when they can. The static emulators take no plugin."""
    for program, package in ((_emulator(board), "qemu-user"), ("cc", "gcc")):
        if shutil.which(program) is None:
            return f"counting instructions needs {program} (Debian: apt-get install {package})"
    return None


def count(board: Board, root: Path, job: Path, path: list[Path], build: Path) -> dict[int, list[int]]:
    """Instructions of each candidate of a job, by its number: a value a repeat, the counting's own share subtracted.

    `path` is where the emulated Python finds the runner, numpy and the runtime.
    """
    if reason := unusable(board):
        raise UserError(reason)
    plugin = compiled(build)
    with tempfile.TemporaryDirectory(prefix="edgepress-count-") as name:
        out = Path(name) / "counts"
        environment = {
            "PYTHONPATH": ":".join(map(str, path)),
            "PYTHONHOME": str(root / "usr"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "HWLOC_SYNTHETIC": "core:4 pu:1",
            "PATH": os.environ["PATH"],
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
        }
        command = [_emulator(board), "-cpu", board.cpu, "-L", str(root), "-plugin", f"{plugin},out={out}"]
        command += [str(root / "usr/bin/python3.11"), "-m", "targets.device.counting", str(job)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"counting instructions failed: {last}")
        return counts(out.read_text())


def counts(text: str) -> dict[int, list[int]]:
    """Lines "4 candidate + place, count" -> what each call took beyond a call of nothing.

    >>> counts("0 100\\n1 110\\n2 200\\n3 260\\n")
    {0: [50]}
    """
    found = defaultdict[int, list[int]](list)
    before = nothing = 0
    for line in text.splitlines():
        number, count = map(int, line.split())
        match number % 4:
            case 1:
                nothing = count - before
            case 3:
                found[number // 4].append(count - before - nothing)
            case _:
                before = count
    return dict(found)


def _emulator(board: Board) -> str:
    return board.emulator.removesuffix("-static")


def compiled(build: Path) -> Path:
    """The compiled plugin, made again when its source is newer."""
    target = build / "count.so"
    if not target.exists() or target.stat().st_mtime < SOURCE.stat().st_mtime:
        build.mkdir(parents=True, exist_ok=True)
        fresh = build / f".count-{os.getpid()}.so"
        done = subprocess.run(
            ["cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", str(SOURCE), "-o", str(fresh)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UserError(f"the counting plugin does not compile: {(done.stderr.strip().splitlines() or [''])[-1]}")
        fresh.replace(target)
    return target
