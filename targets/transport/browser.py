"""Running a job in somebody's browser: the page does what the runner does elsewhere, and the judge sits here.

A judge asks for one answer after another; it needs numpy, which no browser has, but it never asks what the file itself is.
So it runs on this host, and each of its questions crosses the network: the answers are the browser's.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

import numpy as np

from pipeline.core import Arrays, Json
from pipeline.files import file_sha256, load_arrays, save_arrays
from targets._result import RunFailed
from targets.browser.session import Heard, Session
from targets.device import judge
from targets.device.job import RESULT, SAMPLES, Job, inside, read
from targets.runtimes._kernels import OPERATORS

MOST_ASKED = 8 << 20
"""Bytes of inputs that are sent at a time; at least a row."""
NO_KERNELS: Json = {"error": "its layers of +-1 need our kernels, which no browser has", "unsupported": True}


@final
@dataclass(frozen=True)
class Browser:
    """The page that is open."""

    session: Session
    packages: dict[str, tuple[str, str]]
    """Of each runtime, the npm package that stands for it and its version."""

    def run(self, job: Path, result: Path, threads: int, timeout: float, heard: Heard) -> None:
        """Fills `result` from a job's folder. RunFailed in one line where there is none."""
        asked = read(job)
        self.session.files = {digest: inside(job, name) for name, digest in asked.files.items()}
        steps = len(asked.judgings) + len(asked.candidates) + sum(map(len, asked.sets))
        binary = {name for name in asked.candidates if _binary(job, asked, name)}
        judged = dict.fromkeys(binary & asked.judgings.keys(), NO_KERNELS)
        for number, name in enumerate(name for name in asked.judgings if name not in binary):
            ask = partial(self._ask, asked, timeout=timeout, heard=partial(_waiting, heard))
            say = partial(_say, heard, number, steps)
            judged[name] = _Judged(ask, say, asked, name).write(job, result / f"evidence-{number}.npz")
        inputs = {name: load_arrays(inside(job, name)) for name in {each.inputs for each in asked.candidates.values()}}
        arrays = {f"{file}|{name}": array for file, found in inputs.items() for name, array in found.items()}
        told = dataclasses.asdict(replace(asked, judgings={}))
        told["candidates"].update(dict.fromkeys(binary, NO_KERNELS))
        words = {"do": "measure", "job": told}
        said = partial(_advance, heard, len(judged), steps)
        body, outputs = self._ask(asked, words, arrays, timeout=timeout, heard=said)
        body["judged"] = judged
        _write(body, outputs, result)

    def _ask(self, job: Job, words: Json, arrays: Arrays, *, timeout: float, heard: Heard) -> tuple[Json, Arrays]:
        package, version = self.packages[job.runtime]
        runtime = {"runtime": job.runtime, "threads": job.threads, "package": package, "version": version}
        return self.session.ask({**words, **runtime}, arrays, timeout, heard)


def _binary(job: Path, asked: Job, name: str) -> bool:
    """Whether any graph of a candidate has layers of +-1."""
    graphs = [asked.candidates[name].files, *(asked.judgings[name].graphs.values() if name in asked.judgings else ())]
    return any(OPERATORS in inside(job, files[0]).read_bytes() for files in graphs)


@dataclass
class _Judged:
    """A candidate and its judge, whose questions the page answers."""

    ask: Callable[[Json, Arrays], tuple[Json, Arrays]]
    say: Callable[[float], None]
    job: Job
    candidate: str
    share: float = 0.0
    """Of the samples that are done, for whoever looks at the page."""

    def write(self, job: Path, target: Path) -> Json:
        """The evidence, beside the result; what the browser could not do is said instead."""
        judging = self.job.judgings[self.candidate]
        try:
            predictors = {graph: partial(self._predict, graph) for graph in judging.graphs}
            samples = load_arrays(inside(job, judging.samples))
            save_arrays(target, judge.evidence(judge.build(judging.task), predictors, samples, self._progress))
        except RunFailed as error:
            return {"error": str(error)}
        except (KeyError, IndexError, ValueError) as error:  # answers of another shape than the file's
            return {"error": f"the browser's answers cannot be judged: {type(error).__name__}: {' '.join(str(error).split())}"}
        return {"evidence": target.name}

    def _predict(self, graph: str, inputs: Arrays) -> Arrays:
        files = [[file.rpartition("/")[2], self.job.files[file]] for file in self.job.judgings[self.candidate].graphs[graph]]
        words = {"do": "predict", "candidate": self.candidate, "files": files, "share": self.share}
        parts = [self.ask(words, part)[1] for part in _portions(inputs)]
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def _progress(self, done: float, total: float, what: str = "") -> None:
        self.share = done / total
        self.say(self.share)


def _say(heard: Heard, before: int, steps: int, share: float) -> None:
    """As a runner says how far it is."""
    heard(f"progress {before + share:g} {steps}")


def _waiting(heard: Heard, line: str) -> None:
    """Of the session's words those on a page that is away: how far a single answer is tells nothing."""
    if line.startswith("waiting:"):
        heard(line)


def _advance(heard: Heard, before: int, steps: int, line: str) -> None:
    """The session's words, what it says of its part told of the whole."""
    match line.split():
        case ["progress", done, of]:
            heard(f"progress {before + (steps - before) * float(done) / float(of):g} {steps}")
        case _:
            heard(line)


def _portions(inputs: Arrays) -> list[Arrays]:
    """A few rows at a time, where inputs are rows."""
    rows = {len(array) for array in inputs.values() if array.ndim}
    if len(rows) != 1 or (n := rows.pop()) < 2:
        return [inputs]
    step = max(1, MOST_ASKED * n // max(1, sum(array.nbytes for array in inputs.values())))
    return [{name: array[start : start + step] for name, array in inputs.items()} for start in range(0, n, step)]


def _write(body: Json, outputs: Arrays, result: Path) -> None:
    """As the runner leaves it: arrays "<candidate>|<output>" become a file a candidate, result.json comes last."""
    answered: dict[str, Arrays] = {}
    for name, array in outputs.items():
        candidate, _, output = name.partition("|")
        answered.setdefault(candidate, {})[output] = array
    candidates = body.get("candidates")
    for number, (candidate, arrays) in enumerate(answered.items()):
        if isinstance(candidates, dict) and isinstance(found := candidates.get(candidate), dict) and "error" not in found:
            found["outputs"] = f"outputs-{number}.npz"
            save_arrays(result / found["outputs"], arrays)
    files = {path.name: [path.stat().st_size, file_sha256(path)] for path in sorted(result.glob("*.npz"))}
    (result / RESULT).write_text(json.dumps({**body, "schema": SAMPLES, "files": files}))
