"""Keeps a device's folder, so that a job outlives the connection that began it. Standard library only.

    python -m targets.device.keeper missing SHA256...   prints those that are not in files/
    python -m targets.device.keeper run JOB SECONDS WHO  starts the job unless it runs or has ended; follows it to its end
    python -m targets.device.keeper drop JOB             ends it if it runs, and removes all of it
    python -m targets.device.keeper forget SHA256...     removes those of files/ that no job has
    python -m targets.device.keeper tidy                 removes what was left a day ago by whoever did not come back

All in the folder that EDGEPRESS_DEVICE_HOME names:

    files/SHA256         what jobs use; sent once, under the name of its content
    jobs/JOB/job.json    a job; its files are linked beside it when it starts
    jobs/JOB/result/     what it made; result.json comes last
    jobs/JOB/log, errors, runner.json (process id, its start), exit    while and after it runs
    lock                 held by whoever measures, with a word on who that is

`run` says `waiting: ...` while another job measures, then what the runner says, and ends with the runner's exit code. Who
calls it again after a lost connection hears all of it again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from targets.device.job import JOB, RESULT, THREAD_VARIABLES, inside

HOME = Path(os.environ.get("EDGEPRESS_DEVICE_HOME", "~/.edgepress")).expanduser()
STALE_SECONDS = 24 * 3600
POLL_SECONDS = 0.5
PYTHON = shlex.split(os.environ.get("EDGEPRESS_PYTHON", "")) or [sys.executable]
"""What starts Python here: on a phone that is more than a path."""
KEPT = ("PYTHONHOME", "PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "HWLOC_SYNTHETIC", "QEMU_CPU")
"""All that the runner inherits of the connection: a person's OMP_ or ORT_ settings would change what is measured."""


def main(arguments: list[str]) -> int:
    """Runs one command; the process's exit code."""
    try:
        match arguments:
            case ["missing", *digests]:
                print("\n".join(digest for digest in digests if not (HOME / "files" / digest).is_file()))
            case ["run", job, seconds, who]:
                return run(_job(job), float(seconds), who)
            case ["drop", job]:
                drop(_job(job))
            case ["forget", *digests]:
                _forget(inside(HOME / "files", digest) for digest in digests)
            case ["tidy"]:
                tidy()
            case _:
                print("usage: python -m targets.device.keeper missing|run|drop|forget|tidy ...", file=sys.stderr)
                return 2
    except (ValueError, OSError) as error:
        print(f"{type(error).__name__}: {error}" if isinstance(error, OSError) else error, file=sys.stderr)
        return 2
    return 0


def run(folder: Path, seconds: float, who: str) -> int:
    """Starts the job, or joins it where it is, and passes on what it says; returns the runner's exit code.

    One that ended badly is begun anew: whoever asks again has mended what was wrong, or the device was off in between.
    """
    if not _alive(folder) and not (folder / "result" / RESULT).is_file():
        for left in ("exit", "runner.json"):
            (folder / left).unlink(missing_ok=True)
        shutil.rmtree(folder / "result", ignore_errors=True)
        _start(folder, seconds, who)
    _follow(folder)
    sys.stderr.write(_tail(folder / "errors"))
    return int((folder / "exit").read_text())


def drop(folder: Path) -> None:
    """Ends what runs of a job, then removes it."""
    if _alive(folder):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(json.loads((folder / "runner.json").read_text())["group"], signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def tidy() -> None:
    """Removes jobs of yesterday that run no more, and files that no job uses."""
    jobs = HOME / "jobs"
    for folder in jobs.iterdir() if jobs.is_dir() else ():
        if not _alive(folder) and time.time() - folder.stat().st_mtime > STALE_SECONDS:
            drop(folder)
    for part in HOME.glob("*.part-*"):  # of a set-up that was killed
        if time.time() - part.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(part, ignore_errors=True)
    files = HOME / "files"
    _forget(path for path in (files.iterdir() if files.is_dir() else ()) if time.time() - path.stat().st_mtime > STALE_SECONDS)


def _forget(paths: Iterable[Path]) -> None:
    """Removes files, but not those that are linked into a job."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_nlink == 1:
                path.unlink()


def _start(folder: Path, seconds: float, who: str) -> None:
    """Forks twice, so that the job belongs to nobody who could take it along when the connection ends."""
    body = json.loads((folder / JOB).read_text())
    for name, digest in body["files"].items():
        place = inside(folder, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            _place(inside(HOME / "files", digest), place)
    for name in ("log", "errors"):
        (folder / name).write_text("")
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.setsid()
    if attending := os.fork():
        # Written by another than the one it is about: qemu tells a process a start of its own, and others the kernel's.
        _write(folder / "runner.json", json.dumps({"pid": attending, "start": _started(attending), "group": os.getpgrp()}))
        os._exit(0)
    code = 1
    try:
        code = _attend(folder, int(body["threads"]), seconds, who)
    except (OSError, ValueError, LookupError) as error:  # a full disk, a file gone: whoever follows must hear of it
        (folder / "errors").write_text(f"the keeper failed: {type(error).__name__}: {error}\n")
    finally:
        _write(folder / "exit", str(code))
        os._exit(0)


def _place(source: Path, target: Path) -> None:
    """A hard link; Android lets a shell make none."""
    try:
        target.hardlink_to(source)
    except PermissionError:
        shutil.copyfile(source, target)


def _attend(folder: Path, threads: int, seconds: float, who: str) -> int:
    """Runs the runner to its end, alone on this device; returns its exit code (negative: the signal that ended it)."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    with (folder / "log").open("a") as log, (folder / "errors").open("a") as errors, _lock(who, log):
        command = [*PYTHON, "-m", "targets.device.runner", str(folder), str(folder / "result")]
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment = {**kept, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
        process = subprocess.Popen(command, stdout=log, stderr=errors, env=environment)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            errors.write(f"given up after {seconds:g} s\n")
            return 2


@contextlib.contextmanager
def _lock(who: str, log: IO[str]) -> Iterator[None]:
    """The device for one job alone; others wait, and are told for whom."""
    with (HOME / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            log.write(f"waiting: {file.read().strip() or 'another job'} measures on this device\n")
            log.flush()
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(who)
        file.flush()
        yield
        file.truncate(0)


def _follow(folder: Path) -> None:
    """Prints the log as it grows, until the job has ended."""
    with (folder / "log").open() as log:
        while True:
            ended = (folder / "exit").is_file()
            if text := log.read():
                print(text, end="", flush=True)
            if ended:
                return
            if not _alive(folder) and not (folder / "exit").is_file():
                _write(folder / "exit", str(-signal.SIGKILL))  # killed without a word, or the device was off in between
            time.sleep(POLL_SECONDS)


def _alive(folder: Path) -> bool:
    """Whether the process that attends the job still is the one that began it: process ids are used again."""
    if (folder / "exit").is_file():  # the last thing that it wrote; nobody may have noticed yet that it is gone
        return False
    try:
        known = json.loads((folder / "runner.json").read_text())
        return bool(_started(known["pid"]) == known["start"])
    except (OSError, ValueError, KeyError):
        return False


def _started(pid: int) -> str:
    """When a process began, in the kernel's own ticks since boot: a clock that is set does not change it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _job(name: str) -> Path:
    """The folder of a job; ValueError for a name that is none."""
    return inside(HOME / "jobs", name)


def _tail(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")[-4000:]
    return ""


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
