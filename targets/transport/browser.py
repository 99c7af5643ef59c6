"""Running a job in somebody's browser: the page does what the runner does elsewhere, and the judge sits here.

A judge asks for one answer after another; it needs numpy, which no browser has, but it never asks what the file itself is.
So it runs on this host, and each of its questions crosses the network: the answers are the browser's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

import numpy as np

from pipeline.core import Arrays, Json, Predict
from pipeline.files import file_sha256, load_arrays, save_arrays
from targets._result import RunFailed
from targets.browser.session import Heard, Session
from targets.device import judge
from targets.device.job import RESULT, Job, Judging, inside, read

SCHEMA = "edgepress.samples/2"
MOST_ASKED = 8 << 20
"""Bytes of inputs that are sent at a time; at least a row."""


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
        judged = {}
        for number, (name, judging) in enumerate(asked.judgings.items()):
            ask = partial(self._ask, asked, timeout=timeout, heard=heard)
            judged[name] = _judge(ask, name, judging, job, result / f"evidence-{number}.npz")
        inputs = {name: load_arrays(inside(job, name)) for name in {each.inputs for each in asked.candidates.values()}}
        arrays = {f"{file}|{name}": array for file, found in inputs.items() for name, array in found.items()}
        body, outputs = self._ask(
            asked, {"do": "measure", "job": json.loads((job / "job.json").read_text())}, arrays, timeout, heard
        )
        body["judged"] = judged
        _write(body, outputs, result)

    def _ask(self, job: Job, words: Json, arrays: Arrays, timeout: float, heard: Heard) -> tuple[Json, Arrays]:
        package, version = self.packages[job.runtime]
        runtime = {"runtime": job.runtime, "threads": job.threads, "package": package, "version": version}
        return self.session.ask({**words, **runtime}, arrays, timeout, heard)


def _judge(ask: Callable[[Json, Arrays], tuple[Json, Arrays]], name: str, judging: Judging, job: Path, target: Path) -> Json:
    """The judge's evidence, beside the result; what the browser could not do is said instead."""
    files = json.loads((job / "job.json").read_text())["files"]

    def predictor(graph: str) -> Predict:
        named = [[file.rpartition("/")[2], files[file]] for file in judging.graphs[graph]]

        def predict(inputs: Arrays) -> Arrays:
            parts = [ask({"do": "predict", "candidate": name, "files": named}, part)[1] for part in _portions(inputs)]
            return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

        return predict

    try:
        predictors = {graph: predictor(graph) for graph in judging.graphs}
        samples = load_arrays(inside(job, judging.samples))
        save_arrays(target, judge.evidence(judge.build(judging.task), predictors, samples, lambda *_: None))
    except RunFailed as error:
        return {"error": str(error)}
    except (KeyError, IndexError, ValueError) as error:  # answers of another shape than the file's
        return {"error": f"the browser's answers cannot be judged: {type(error).__name__}: {' '.join(str(error).split())}"}
    return {"evidence": target.name}


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
    (result / RESULT).write_text(json.dumps({**body, "schema": SCHEMA, "files": files}))
