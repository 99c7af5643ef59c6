"""Measuring sets of candidates over a transport: the same for this machine, a Pi and a phone.

Every runtime gets `processes` fresh processes, one after the other, and every candidate is in each of them.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.core import Arrays, Json, Progress, Task
from pipeline.files import save_arrays
from pipeline.measure import Failure, Metered, Samples
from targets._benchmark_model import parse
from targets._result import Result, RunFailed, read_result
from targets.device import judge
from targets.device.benchmark_model import SECONDS
from targets.device.job import Entry, Job, Judging, Sampling, file_sha256
from targets.kernels.build import library_for
from targets.runtimes._kernels import OPERATORS


@dataclass(frozen=True)
class ToJudge:
    """What a device needs to judge a candidate: every graph's files, the judge, and prepared samples."""

    graphs: Mapping[str, tuple[Path, ...]]
    task: Task
    samples: Arrays


@dataclass(frozen=True)
class Candidate:
    """One file to be timed (with those that belong to it) and one real sample, batch 1. `handicap`: see `device.job.Entry`."""

    files: tuple[Path, ...]
    inputs: Arrays
    handicap: float = 0.0
    judging: ToJudge | None = None
    """Given where the device judges, too."""


@dataclass(frozen=True)
class MeasureSet:
    """Candidates of one runtime that are to be compared with one another, by name."""

    runtime: str
    candidates: Mapping[str, Candidate]
    model: str = ""
    """Whose variants they are; of a runtime's sets, one a model."""


@dataclass(frozen=True)
class Measured:
    """What came of a list of sets."""

    sets: list[dict[str, Samples | Failure]]
    """In the order of the sets that were asked for, each candidate under its name."""
    judged: list[dict[str, Arrays | Failure]]
    """The same, with the judge's evidence, for what was to be judged."""
    outputs: list[dict[str, Arrays]]
    """The same, with what each candidate answered to its sample."""
    raw: dict[str, list[Json]]
    """For each runtime its processes' results as they came: environments and raw samples."""


class Transport(Protocol):
    """How a job runs on a device."""

    def run(self, job: Path, result: Path, threads: int, timeout: float, heard: Callable[[str], None]) -> None:
        """Runs a job's folder in a fresh process there, and fills the folder `result`.

        `heard` gets each line that the runner prints. RunFailed when there is no result after `timeout` seconds or at all.
        """


@dataclass(frozen=True)
class Plan:
    """How to measure."""

    threads: int = 1
    processes: int = 3
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    timeout: float = 3600.0
    """Seconds after which one process is given up."""
    benchmark_model: Path | None = None
    """LiteRT's own program for that device, to be run on each .tflite file besides."""
    machine: str | None = None
    """What a device calls itself ("aarch64") to which our kernels are to be sent with the files that need them."""


def sample(transport: Transport, sets: list[MeasureSet], plan: Plan, progress: Progress) -> Measured:
    """Measures all sets. What a runtime cannot run is a Failure in its place, never an exception."""
    measured = Measured([{} for _ in sets], [{} for _ in sets], [{} for _ in sets], {})
    runtimes = list(dict.fromkeys(each.runtime for each in sets))
    for number, runtime in enumerate(runtimes):
        mine = {index: each for index, each in enumerate(sets) if each.runtime == runtime}
        step = partial(_step, progress, number * plan.processes, len(runtimes) * plan.processes, runtime)
        results: list[Result] | Failure
        try:
            results = _processes(transport, runtime, mine, plan, step)
            measured.raw[runtime] = [result.body for result in results]
        except RunFailed as error:
            results = Failure(str(error))
        for place, (index, each) in enumerate(mine.items()):
            for name, candidate in each.candidates.items():
                identity = _identity(index, each, name)
                measured.sets[index][name] = _gather(results, place, identity)
                if candidate.judging:
                    measured.judged[index][name] = _judged(results, identity, candidate.judging)
                if isinstance(results, list) and (outputs := results[0].outputs(identity)) is not None:
                    measured.outputs[index][name] = outputs
    return measured


def _processes(
    transport: Transport, runtime: str, sets: Mapping[int, MeasureSet], plan: Plan, step: Callable[[int, str], None]
) -> list[Result]:
    """The results of one runtime's processes; the first one judges."""
    results = []
    with tempfile.TemporaryDirectory(prefix="edgepress-job-") as name:
        stage = _Stage(Path(name), plan.machine)
        entries, judgings = dict[str, Entry](), dict[str, Judging]()
        for index, each in sets.items():
            for label, candidate in each.candidates.items():
                entries[_identity(index, each, label)] = stage.entry(candidate)
                if candidate.judging:
                    judgings[_identity(index, each, label)] = stage.judging(candidate.judging)
        groups = tuple(tuple(_identity(index, each, label) for label in each.candidates) for index, each in sets.items())
        program = stage.program(plan.benchmark_model) if plan.benchmark_model else ""
        job = Job(runtime, plan.threads, plan.seed, stage.files, entries, groups, plan.sampling, judgings, program)
        for process in range(plan.processes):
            if process:  # the first one judged, and kept the device warm for as long as that was asked for
                quick = replace(plan.sampling, sustained_seconds=0.0, batches=())
                job = replace(job, judgings={}, benchmark_model="", protocol=quick)
            replace(job, seed=plan.seed * 1000 + process).write(stage.folder)
            with tempfile.TemporaryDirectory(prefix="edgepress-result-") as result:
                timeout = plan.timeout + (SECONDS * len(entries) if job.benchmark_model else 0)
                transport.run(stage.folder, Path(result), plan.threads, timeout, partial(step, process))
                results.append(read_result(Path(result), entries, {} if process else judgings, groups))
    return results


def _step(progress: Progress, before: int, total: int, what: str, process: int, line: str) -> None:
    """Passes on a runner's `progress DONE TOTAL` and a keeper's `waiting: ...`; a library's own words are no progress."""
    match line.split():
        case ["progress", done, of]:
            progress(before + process + float(done) / float(of), total, f"{what}, process {process + 1}")
        case ["waiting:", *_]:
            progress(before + process, total, line)


class _Stage:
    """A job's folder while it is filled: every file under a name that its content gives, so that it is there once."""

    def __init__(self, folder: Path, machine: str | None) -> None:
        self.folder = folder
        self._machine = machine
        self.files: dict[str, str] = {}
        self._written: list[tuple[Arrays, str]] = []

    def entry(self, candidate: Candidate) -> Entry:
        """A candidate to be timed."""
        return Entry(self._together(candidate.files), self._arrays(candidate.inputs), candidate.handicap)

    def judging(self, judging: ToJudge) -> Judging:
        """A candidate to be judged."""
        graphs = {name: self._together(files) for name, files in judging.graphs.items()}
        return Judging(graphs, judge.describe(judging.task), self._arrays(judging.samples))

    def program(self, path: Path) -> str:
        """A program for the device; "" where no candidate is one of its files."""
        if not any(name.endswith(".tflite") for name in self.files):
            return ""
        digest = file_sha256(path)
        self._put(path, f"{digest[:16]}/benchmark_model", digest)
        return f"{digest[:16]}/benchmark_model"

    def _together(self, files: tuple[Path, ...]) -> tuple[str, ...]:
        """Files that belong together lie in one folder, under their own names, by which they find one another.

        Where there is no compiler for the device, a file that needs our kernels goes without, and the device says so.
        """
        if self._machine and OPERATORS in files[0].read_bytes() and (kernels := library_for(self._machine)):
            files = (*files, kernels)
        digests = [file_sha256(path) for path in files]
        place = hashlib.sha256(" ".join(digests).encode()).hexdigest()[:16]  # of all: two files may share their .xml
        names = tuple(f"{place}/{path.name}" for path in files)
        for path, name, digest in zip(files, names, digests, strict=True):
            self._put(path, name, digest)
        return names

    def _arrays(self, arrays: Arrays) -> str:
        """All candidates are judged on the same arrays, which are written and hashed once."""
        for known, name in self._written:
            if known is arrays:
                return name
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "arrays.npz"
            save_arrays(path, arrays)
            digest = file_sha256(path)
            self._put(path, f"{digest[:16]}.npz", digest)
        self._written.append((arrays, f"{digest[:16]}.npz"))
        return f"{digest[:16]}.npz"

    def _put(self, source: Path, name: str, digest: str) -> None:
        """A hard link where the file system allows it."""
        self.files[name] = digest
        target = self.folder / name
        if target.exists():
            return
        target.parent.mkdir(exist_ok=True)
        try:
            target.hardlink_to(source.resolve())
        except OSError:
            shutil.copyfile(source, target)


def _identity(index: int, each: MeasureSet, name: str) -> str:
    return f"{each.model or index}/{name}"


def _gather(results: list[Result] | Failure, place: int, identity: str) -> Samples | Failure:
    """A candidate's samples out of all processes; a Failure when any of them had one."""
    if isinstance(results, Failure):
        return results
    mine = [result.body["candidates"][identity] for result in results]
    if failed := [each for each in mine if "error" in each]:
        return Failure(failed[0]["error"], failed[0].get("unsupported", False))

    def column(name: str) -> Any:
        return np.array([each[name] for each in mine], dtype=np.int64)

    device_bytes = [each["device_bytes"] for each in mine if each.get("device_bytes") is not None]
    curve = mine[0].get("curve") or {"calls": {}, "ended": ""}
    rounds = [[each[identity] for each in result.body["sets"][place]["rounds"]] for result in results]
    return Samples(
        rounds=np.array(rounds, dtype=np.int64),
        steady=tuple(np.array(each["steady_ns"], dtype=np.int64) for each in mine),
        load=column("load_ns"),
        first=column("first_ns"),
        peak_bytes=column("peak_bytes"),
        sustained=np.array(mine[0].get("sustained_ns", ()), dtype=np.int64),
        instructions=np.array([number for each in mine for number in each.get("instructions", ())], dtype=np.int64),
        energy=tuple(_metered(each["energy"]) for each in mine if each.get("energy")),
        sustained_energy=_metered(mine[0]["sustained_energy"]) if mine[0].get("sustained_energy") else None,
        benchmark_model=parse(**mine[0]["benchmark_model"]) if mine[0].get("benchmark_model") else None,
        device_bytes=np.array(device_bytes, dtype=np.int64),
        batches={int(batch): np.array(calls, dtype=np.int64) for batch, calls in curve["calls"].items()},
        batches_ended=curve["ended"],
    )


def _metered(told: Json) -> Metered:
    """Millijoules a call of a block."""
    return Metered(1e3 * told["joules"] / told["calls"], told["meter"])


def _judged(results: list[Result] | Failure, identity: str, judging: ToJudge) -> Arrays | Failure:
    """The evidence of a candidate, a row a sample."""
    if isinstance(results, Failure):
        return results
    found = results[0].body["judged"][identity]
    if "error" in found:
        return Failure(found["error"], found.get("unsupported", False))
    return results[0].evidence(identity, len(next(iter(judging.samples.values()))))
