"""Measuring sets of candidates over a transport: the same for this machine, a Pi and a phone.

Every runtime gets `processes` fresh processes, one after the other, and every candidate is in each of them.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.core import Arrays, Json, Progress
from pipeline.files import save_arrays
from pipeline.measure import Failure, Samples
from targets.device.job import Entry, Job, Sampling, file_sha256


@dataclass(frozen=True)
class Candidate:
    """One file to be timed (with those that belong to it) and one real sample, batch 1. `handicap`: see `device.job.Entry`."""

    files: tuple[Path, ...]
    inputs: Arrays
    handicap: float = 0.0


@dataclass(frozen=True)
class MeasureSet:
    """Candidates of one runtime that are to be compared with one another, by name."""

    runtime: str
    candidates: Mapping[str, Candidate]


@dataclass(frozen=True)
class Measured:
    """What came of a list of sets."""

    sets: list[dict[str, Samples | Failure]]
    """In the order of the sets that were asked for, each candidate under its name."""
    raw: dict[str, list[Json]]
    """For each runtime its processes' results as they came: environments and raw samples."""


class RunFailed(Exception):
    """A run that gave no result: refused, crashed, killed or unreachable; one line."""


class Transport(Protocol):
    """How files get to a device and how a job runs there."""

    def put(self, source: Path, target: Path) -> None:
        """Places a file in a job's folder."""

    def run(self, job: Path, threads: int, timeout: float, heard: Callable[[str], None]) -> Json:
        """Runs a job's folder in a fresh process there; `heard` gets each line it prints. RunFailed when it gave no result."""


@dataclass(frozen=True)
class Plan:
    """How to measure."""

    threads: int = 1
    processes: int = 3
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    timeout: float = 3600.0
    """Seconds after which one process is given up."""


def sample(transport: Transport, sets: list[MeasureSet], plan: Plan, progress: Progress) -> Measured:
    """Measures all sets. What a runtime cannot run is a Failure in its place, never an exception."""
    found: list[dict[str, Samples | Failure]] = [{} for _ in sets]
    raw: dict[str, list[Json]] = {}
    runtimes = list(dict.fromkeys(each.runtime for each in sets))
    for number, runtime in enumerate(runtimes):
        mine = {index: each for index, each in enumerate(sets) if each.runtime == runtime}
        step = partial(_step, progress, number * plan.processes, len(runtimes) * plan.processes, runtime)
        results: list[Json] | Failure
        try:
            results = raw[runtime] = _processes(transport, runtime, mine, plan, step)
        except RunFailed as error:
            results = Failure(str(error))
        for place, (index, each) in enumerate(mine.items()):
            found[index] = {name: _gather(results, place, _identity(index, name)) for name in each.candidates}
    return Measured(found, raw)


def _processes(
    transport: Transport, runtime: str, sets: Mapping[int, MeasureSet], plan: Plan, step: Callable[[int, str], None]
) -> list[Json]:
    """The results of one runtime's processes."""
    results = []
    with tempfile.TemporaryDirectory(prefix="edgepress-job-") as name:
        folder = Path(name)
        candidates = {
            _identity(index, name): _put(transport, folder, candidate)
            for index, each in sets.items()
            for name, candidate in each.candidates.items()
        }
        groups = tuple(tuple(_identity(index, name) for name in each.candidates) for index, each in sets.items())
        job = Job(runtime, plan.threads, plan.seed, groups, candidates, plan.sampling)
        for process in range(plan.processes):
            replace(job, seed=plan.seed * 1000 + process).write(folder)
            results.append(transport.run(folder, plan.threads, plan.timeout, partial(step, process)))
    return results


def _step(progress: Progress, before: int, total: int, what: str, process: int, line: str) -> None:
    """Passes on a runner's `progress DONE TOTAL`; a library's own words on stdout are no progress."""
    match line.split():
        case ["progress", done, of]:
            progress(before + process + int(done) / int(of), total, f"{what}, process {process + 1}")


def _put(transport: Transport, folder: Path, candidate: Candidate) -> Entry:
    """Places a candidate's files under a name that their content gives: a file that two candidates share travels once."""
    digests = tuple(file_sha256(path) for path in candidate.files)
    place = hashlib.sha256(" ".join(digests).encode()).hexdigest()[:16]  # of all: two files may share their .xml
    names = tuple(f"{place}/{path.name}" for path in candidate.files)
    for path, name in zip(candidate.files, names, strict=True):
        transport.put(path, folder / name)
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Path(scratch) / "inputs.npz"
        save_arrays(inputs, candidate.inputs)
        digest = file_sha256(inputs)
        transport.put(inputs, folder / f"{digest[:16]}.npz")
    return Entry(names, digests, f"{digest[:16]}.npz", digest, candidate.handicap)


def _identity(index: int, name: str) -> str:
    return f"{index}/{name}"


def _gather(results: list[Json] | Failure, place: int, identity: str) -> Samples | Failure:
    """A candidate's samples out of all processes; a Failure when any of them had one."""
    if isinstance(results, Failure):
        return results
    mine = [result["candidates"][identity] for result in results]
    if reasons := [each["error"] for each in mine if "error" in each]:
        return Failure(reasons[0])

    def column(name: str) -> Any:
        return np.array([each[name] for each in mine], dtype=np.int64)

    rounds = [[each[identity] for each in result["sets"][place]["rounds"]] for result in results]
    return Samples(
        rounds=np.array(rounds, dtype=np.int64),
        steady=tuple(np.array(each["steady_ns"], dtype=np.int64) for each in mine),
        load=column("load_ns"),
        first=column("first_ns"),
        peak_bytes=column("peak_bytes"),
    )
