"""Looks into an exported file, and has its runtime say what a call consists of. A measurement: never stored.

It is done after all that is timed for the report, so that a profiler is in nobody's way.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median

from pipeline import model_file
from pipeline.anatomy._parts import Part, Reader, joined
from pipeline.anatomy._parts import reader as reader_of
from pipeline.anatomy._summary import summary
from pipeline.compress._weights import weights
from pipeline.core import Arrays, Json, Predict, Spec
from pipeline.files import load_arrays
from pipeline.layers import LAYERS
from pipeline.sensitivity import of_parts
from pipeline.sizes import coded_path
from pipeline.steps.common import Input, Tools
from pipeline.steps.export import SAMPLE

WARM, CALLS, SECONDS = 20, 200, 0.5


def run(task: Json, inputs: list[Input], folder: Path, tools: Tools) -> Json:
    """Writes every operator; returns what the report holds.

    `inputs` are the exported files, the model, and its sensitivities where they are known.
    """
    artifact, model, *sensitive = inputs
    files = [artifact.folder / name for name in next(iter(artifact.facts["graphs"].values()))]
    sample = load_arrays(artifact.folder / SAMPLE)
    reader = reader_of(task["format"])
    assert reader is not None  # nobody asks for another format
    parts = reader.read(files)
    ran = reader.profile(files, sample, task["threads"]) if task["here"] else task["untimed"]
    if not isinstance(ran, str):
        parts = joined(parts, ran)
    known = _by_name(parts, model, sensitive[0].facts["sensitivity"]) if sensitive else {}
    every = summary(parts, known, most=None).layers
    (folder / LAYERS).write_text(json.dumps([asdict(layer) for layer in every]))
    return {
        **asdict(summary(parts, known)),
        **(_calls(task, reader, files, sample, parts) if task["here"] else {}),
        "untimed": ran if isinstance(ran, str) else None,
        "file": sum(path.stat().st_size for path in files),
        "coded_file": any(coded_path(path).exists() for path in files),
    }


def _by_name(parts: list[Part], model: Input, found: dict[str, float]) -> dict[str, float]:
    parameters = weights(model_file.load(model.folder).module)
    arrays = {name: each.detach().numpy() for name, each in parameters.items()}
    return of_parts(parts, found, arrays)


def _calls(task: Json, reader: Reader, files: list[Path], sample: Arrays, parts: list[Part]) -> dict[str, float]:
    """Milliseconds of a call of the file, of one of the smallest graph that there is, and of only reading the weights."""
    runtime = Spec("runtime", task["runtime"]).build()
    found = {"call_ms": _median(runtime.load(files, task["threads"]), sample), "read_ms": _read_ms(parts)}
    with tempfile.TemporaryDirectory() as folder:
        if small := reader.smallest(Path(folder)):
            import numpy as np

            found["smallest_ms"] = _median(runtime.load(small, task["threads"]), {"x": np.zeros((1, 1), np.float32)})
    return found


def _read_ms(parts: list[Part]) -> float:
    """Milliseconds in which one thread reads what the file's operators read of constants, once a call as they do."""
    import numpy as np

    held = np.ones(max(1, sum(part.bytes for part in parts)), np.uint8)
    return _median(lambda _: {"largest": held.max()}, {})


def _median(predict: Predict, inputs: Arrays) -> float:
    for _ in range(WARM):
        predict(inputs)
    times, end = list[float](), time.perf_counter() + SECONDS
    while len(times) < CALLS and (len(times) < 3 or time.perf_counter() < end):
        start = time.perf_counter()
        predict(inputs)
        times.append(1e3 * (time.perf_counter() - start))
    return median(times)
