"""A measuring job as files, so that any transport can carry it: what the host writes is what the device checks.

    JOB/job.json      schema edgepress.job/1: runtime, threads, seed, sets, candidates, protocol
    JOB/<name> ...    the candidates' files and inputs, by the relative names that job.json gives

Standard library only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

JOB, RESULT = "job.json", "result.json"
SCHEMA = "edgepress.job/1"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Whoever starts the runner sets these to the job's number of threads: libraries read them as they are imported."""


@dataclass(frozen=True)
class Sampling:
    """How a process measures; the study behind it is in `pipeline.bench.measure`."""

    warmup: int = 20
    """Round-robin calls of each candidate of a set before anything is kept."""
    rounds: int = 40
    """Each round is a random permutation of the set's candidates."""
    calls: int = 3
    """Calls of a candidate in its turn: the first is dropped (a switch costs caches), the fastest of the others is kept."""
    steady_calls: int = 400
    """At most so many calls in one block, for the percentiles."""
    steady_seconds: float = 2.0
    """That block ends after so long, whichever comes first."""


@dataclass(frozen=True)
class Entry:
    """A candidate's files, relative to the job's folder.

    `inputs` is an .npz with one real sample. `handicap` h makes each call last (1 + h) times as long, by spinning: it
    exists so that the protocol can be checked against a difference that is known, and is 0 in every report.
    """

    files: tuple[str, ...]
    sha256: tuple[str, ...]
    inputs: str
    inputs_sha256: str
    handicap: float = 0.0


@dataclass(frozen=True)
class Job:
    """What one fresh process measures. `sets` are the groups of candidates that are interleaved with one another."""

    runtime: str
    threads: int
    seed: int
    sets: tuple[tuple[str, ...], ...]
    candidates: dict[str, Entry]
    protocol: Sampling

    def write(self, folder: Path) -> None:
        """Writes job.json; the files it names are put there by the caller."""
        (folder / JOB).write_text(json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, indent=1))


def read(folder: Path) -> Job:
    """The job in a folder, every file verified. ValueError for anything that does not fit."""
    try:
        body = json.loads((folder / JOB).read_text())
        if body.pop("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        candidates = {name: Entry(**fields) for name, fields in body.pop("candidates").items()}
        sets = tuple(tuple(names) for names in body.pop("sets"))
        job = Job(candidates=candidates, sets=sets, protocol=Sampling(**body.pop("protocol")), **body)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{JOB}: {type(error).__name__}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{JOB}: {error}") from error
    if job.protocol.calls < 2:
        raise ValueError(f"{JOB}: protocol.calls must be at least 2 (the first is dropped), found {job.protocol.calls}")
    if unknown := {name for names in job.sets for name in names} - job.candidates.keys():
        raise ValueError(f"{JOB}: sets name unknown candidates: {', '.join(sorted(unknown))}")
    for entry in job.candidates.values():
        for name, digest in zip((*entry.files, entry.inputs), (*entry.sha256, entry.inputs_sha256), strict=True):
            if file_sha256(inside(folder, name)) != digest:
                raise ValueError(f"{name} does not match its sha256")
    return job


def inside(folder: Path, name: str) -> Path:
    """The file of that name in the folder; ValueError for a name that leads out of it."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"file name {name!r} leads out of the job's folder")
    return folder / path


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
