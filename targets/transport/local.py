"""Running a job on this very machine: the runner as a fresh process of this Python."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from targets._result import RunFailed
from targets.device.job import THREAD_VARIABLES

ROOT = Path(__file__).resolve().parent.parent.parent
KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV")
"""All that the runner inherits: a person's OMP_ or ORT_ settings would change what is measured without a trace."""


@final
@dataclass(frozen=True)
class Local:
    """This machine, with some more variables for the runner, which a person's own do not change."""

    variables: Mapping[str, str] = field(default_factory=dict)

    def run(self, job: Path, result: Path, threads: int, timeout: float, heard: Callable[[str], None]) -> None:
        """Fills `result` from a job's folder. RunFailed in one line when the runner refuses it, crashes or takes too long."""
        with tempfile.TemporaryFile("w+") as errors:
            command = [sys.executable, "-m", "targets.device.runner", str(job), str(result)]
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(threads, self.variables),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # a group of its own, so that its children end with it
            )
            _listen(process, timeout, heard)
            if process.returncode != 0:
                errors.seek(0)
                raise RunFailed(why(process.returncode, errors.read(), timeout))


def why(code: int, errors: str, timeout: float) -> str:
    """One line for a runner that ended without a result."""
    lines = [line for line in errors.splitlines() if line.strip()]
    if code == -signal.SIGKILL:
        return f"the runner was killed: out of memory, or longer than {timeout:g} s"
    last = lines[-1].strip() if lines else "it said nothing"
    return last if code == 2 else f"the runner ended with exit code {code}: {last}"


def environment(threads: int, variables: Mapping[str, str]) -> dict[str, str]:
    """What a runner here starts with."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, **dict.fromkeys(THREAD_VARIABLES, str(threads)), **variables}


def _listen(process: subprocess.Popen[str], timeout: float, heard: Callable[[str], None]) -> None:
    """Passes on each line of stdout until the process ends; whatever happens here, nothing of it runs on.

    A timer and a blocking read wait without waking up: polling would disturb what is measured.
    """
    timer = threading.Timer(timeout, _kill, [process])
    timer.start()
    try:
        for line in process.stdout or ():
            heard(line.strip())
        process.wait()
    finally:
        timer.cancel()
        _kill(process)
        process.wait()
        if process.stdout:
            process.stdout.close()


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it ended by itself just now (macOS says the latter)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
