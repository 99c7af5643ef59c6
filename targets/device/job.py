"""A measuring job as files, so that any transport can carry it: what the host writes is what the device checks.

    JOB/job.json      schema edgepress.job/2: runtime, threads, seed, files, candidates, sets, judgings, protocol
    JOB/<name> ...    what `files` names, each with its sha256

Standard library only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

JOB, RESULT = "job.json", "result.json"
SCHEMA, SAMPLES = "edgepress.job/2", "edgepress.samples/2"
"""Of a job, and of its result."""
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
    energy_seconds: float = 3.0
    """Where there is a meter, each candidate then runs for so long with it: calls that nobody times, long enough for a meter."""
    sustained_seconds: float = 0.0
    """Then each candidate runs for so long without a pause, in the first process: what heat does to it."""
    batches: tuple[int, ...] = ()
    """Then each candidate on an accelerator is called with these many samples at once, in the first process."""


@dataclass(frozen=True)
class Entry:
    """A candidate to be timed: its files, the one to load first.

    `inputs` is an .npz with one real sample. `handicap` h makes each call last (1 + h) times as long, by spinning: it
    exists so that the protocol can be checked against a difference that is known, and is 0 in every report.
    """

    files: tuple[str, ...]
    inputs: str
    handicap: float = 0.0


@dataclass(frozen=True)
class Judging:
    """A candidate to be judged: the files of each of its graphs, the judge, and an .npz of the samples it works on."""

    graphs: dict[str, tuple[str, ...]]
    task: dict[str, Any]
    """As `device.judge.describe` writes it."""
    samples: str


@dataclass(frozen=True)
class Job:
    """What one fresh process does. `sets` are the groups of candidates that are interleaved with one another."""

    runtime: str
    threads: int
    seed: int
    files: dict[str, str]
    """All that the job uses: relative names and their sha256."""
    candidates: dict[str, Entry]
    sets: tuple[tuple[str, ...], ...]
    protocol: Sampling
    judgings: dict[str, Judging] = field(default_factory=dict)
    """By candidate."""
    benchmark_model: str = ""
    """LiteRT's own program, among the files, to be run on each .tflite file besides; "" for none."""

    def write(self, folder: Path) -> None:
        """Writes job.json; the files it names are put there by the caller."""
        (folder / JOB).write_text(json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, indent=1))


def read(folder: Path) -> Job:
    """The job in a folder, every file verified. ValueError for anything that does not fit."""
    try:
        job = _parse(json.loads((folder / JOB).read_text()))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{JOB}: {type(error).__name__}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{JOB}: {error}") from error
    if job.protocol.calls < 2:
        raise ValueError(f"{JOB}: protocol.calls must be at least 2 (the first is dropped), found {job.protocol.calls}")
    if unknown := {name for names in job.sets for name in names} - job.candidates.keys():
        raise ValueError(f"{JOB}: sets name unknown candidates: {', '.join(sorted(unknown))}")
    if unknown := _used(job) - job.files.keys():
        raise ValueError(f"{JOB}: no sha256 is given for {', '.join(sorted(unknown))}")
    for name, digest in job.files.items():
        if file_sha256(inside(folder, name)) != digest:
            raise ValueError(f"{name} does not match its sha256")
    return job


def _parse(body: dict[str, Any]) -> Job:
    if (schema := body.pop("schema")) != SCHEMA:
        raise ValueError(f"its schema is {schema!r}, not {SCHEMA}")
    candidates = {name: Entry(**{**fields, "files": tuple(fields["files"])}) for name, fields in body.pop("candidates").items()}
    judgings = {
        name: Judging(**{**fields, "graphs": {graph: tuple(files) for graph, files in fields["graphs"].items()}})
        for name, fields in body.pop("judgings").items()
    }
    sets = tuple(tuple(names) for names in body.pop("sets"))
    protocol = Sampling(**{**body["protocol"], "batches": tuple(body.pop("protocol").get("batches", ()))})
    return Job(candidates=candidates, sets=sets, judgings=judgings, protocol=protocol, **body)


def _used(job: Job) -> set[str]:
    """Every file that a candidate or a judging names."""
    timed = {name for entry in job.candidates.values() for name in (*entry.files, entry.inputs)}
    judged = {name for each in job.judgings.values() for files in each.graphs.values() for name in files}
    judged |= {job.benchmark_model} - {""}
    return timed | judged | {each.samples for each in job.judgings.values()}


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
