"""Running a job on a device that a channel reaches: the same over ssh and adb. The device's keeper does what must not depend
on the connection, so that a lost one is made again and the job is found where it is.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import platform
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from pipeline.errors import UserError
from targets._result import MOST_BYTES, RunFailed
from targets.device.job import JOB, RESULT
from targets.transport.local import why

RETRY_SECONDS = (1, 2, 5, 10, 20, 30, 60, 60, 60)
"""Between tries to reach a device again; after these it is given up."""
Heard = Callable[[str], None]
T = TypeVar("T")


class ConnectionLost(Exception):
    """The device cannot be reached, now: the same may work a moment later. One line."""


@contextlib.contextmanager
def reaching() -> Iterator[None]:
    """While a device is reached and set up no job waits there yet: a connection that is lost ends the run, in one line."""
    try:
        yield
    except ConnectionLost as error:
        raise UserError(str(error)) from error


@dataclass(frozen=True)
class Finished:
    """A command that ended on the device."""

    code: int
    out: str
    errors: str


class Channel(Protocol):
    """How to reach a device. Every method may raise ConnectionLost; OSError for what the device refuses (a full disk)."""

    def connect(self) -> None:
        """Reaches the device, again if need be. UserError for what no second try would mend."""

    def close(self) -> None:
        """Lets go of it."""

    def run(self, command: str, heard: Heard | None = None) -> Finished:
        """Runs a line of `sh` to its end; `heard` gets each line of its standard output, which then is not kept."""

    def push(self, source: Path, target: str) -> None:
        """Copies a file there, whole or not at all."""

    def pull(self, source: str, target: Path, most: int) -> None:
        """Copies a file from there; OSError for one of more than `most` bytes."""


@dataclass(frozen=True)
class Place:
    """Where things are on a device that is set up; absolute paths."""

    home: PurePosixPath
    """Of all that is ours there."""
    code: PurePosixPath
    """The runner, and what it imports of ours."""
    env: PurePosixPath
    """A Python with numpy and the runtimes."""
    site: PurePosixPath
    """Its packages."""
    start: tuple[str, ...]
    """What starts its Python."""
    variables: tuple[tuple[str, str], ...] = ()
    """What Python's environment must have besides, to be started so."""

    @property
    def python(self) -> str:
        """What starts Python there, environment included, as `sh` reads it."""
        start = shlex.join(self.start)
        settings = {
            "EDGEPRESS_DEVICE_HOME": str(self.home),
            "EDGEPRESS_PYTHON": start,
            "PYTHONPATH": f"{self.code}:{self.site}",
            "PYTHONDONTWRITEBYTECODE": "1",
            **dict(self.variables),
        }
        given = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
        return f"cd {shlex.quote(str(self.code))} && {given} {start}"


@dataclass
class Remote:
    """A device on which the runner and a runtime are set up."""

    channel: Channel
    place: Place
    retry: Sequence[float] = RETRY_SECONDS
    sent: set[str] = field(default_factory=set)
    """Files that are known to be there."""

    def run(self, job: Path, result: Path, threads: int, timeout: float, heard: Heard) -> None:
        """Fills `result` from a job's folder. RunFailed in one line where there is none."""
        name = hashlib.sha256((job / JOB).read_bytes()).hexdigest()[:16]
        try:
            self._through(lambda: self._send(job, name, heard), heard)
            done = self._through(lambda: self._keeper(f"run {name} {timeout:g} {_who()}", heard), heard)
            if done.code:
                raise RunFailed(why(done.code - 256 if done.code > 128 else done.code, done.errors, timeout))
            self._through(lambda: self._fetch(name, result), heard)
        except OSError as error:
            raise RunFailed(f"the device: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(ConnectionLost, OSError):
                self._keeper(f"drop {name}")

    def tidy(self) -> None:
        """Leaves on the device what the next run needs to start: the runner and its runtimes, no job and no model of ours."""
        with contextlib.suppress(ConnectionLost, OSError):
            self._keeper(f"forget {' '.join(sorted(self.sent))}")
            self._keeper("tidy")
        self.sent.clear()

    def _send(self, job: Path, name: str, heard: Heard) -> None:
        """What the device lacks of a job's files; each is there under the name of its content, so a rerun goes on."""
        wanted = {digest: job / path for path, digest in json.loads((job / JOB).read_text())["files"].items()}
        unknown = sorted(wanted.keys() - self.sent)
        missing = self._keeper(f"missing {' '.join(unknown)}").out.split() if unknown else []
        for digest in missing:
            heard(f"waiting: sending {wanted[digest].name}")
            self.channel.push(wanted[digest], str(self.place.home / "files" / digest))
        self.sent |= wanted.keys()
        self._check(self.channel.run(f"mkdir -p '{self.place.home}/jobs/{name}'"))
        self.channel.push(job / JOB, str(self.place.home / "jobs" / name / JOB))

    def _fetch(self, name: str, result: Path) -> None:
        """The result and the files that it names; what they hold is checked by whoever reads them."""
        there = self.place.home / "jobs" / name / "result"
        self.channel.pull(str(there / RESULT), result / RESULT, MOST_BYTES)
        for file in _named(result / RESULT):
            self.channel.pull(str(there / file), result / file, MOST_BYTES)

    def _keeper(self, arguments: str, heard: Heard | None = None) -> Finished:
        return self.channel.run(f"{self.place.python} -m targets.device.keeper {arguments}", heard)

    def _through(self, work: Callable[[], T], heard: Heard) -> T:
        """Does something on the device, and again where the connection was lost meanwhile."""
        for seconds in (*self.retry, None):
            try:
                return work()
            except ConnectionLost as error:
                if seconds is None:
                    raise RunFailed(f"{error}; given up after {len(self.retry)} tries") from error
                heard(f"waiting: {error}; trying again in {seconds:g} s")
                time.sleep(seconds)
                with contextlib.suppress(ConnectionLost):
                    self.channel.connect()
        raise AssertionError("unreachable")

    def _check(self, done: Finished) -> None:
        if done.code:
            raise RunFailed(f"the device: {last_line(done)}")


def last_line(done: Finished) -> str:
    """What a command that failed said last."""
    return next(
        (line.strip() for line in reversed((done.out + "\n" + done.errors).splitlines()) if line.strip()), "it said nothing"
    )


def _who() -> str:
    """Who holds the device, for whoever else wants it; only what a shell takes as it is."""
    return "".join(letter for letter in f"{getpass.getuser()}@{platform.node()}" if letter.isalnum() or letter in "@.-_")


def _named(path: Path) -> Iterator[str]:
    """The names in a result, as far as they are names of files and nothing else."""
    try:
        names = json.loads(path.read_text())["files"]
        yield from (name for name in names if name == Path(name).name and not name.startswith("."))
    except (ValueError, KeyError, TypeError):
        return  # whoever reads the result says what is wrong with it
