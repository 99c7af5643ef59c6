"""Judges an exported file on the test split, and against the reference on the same samples. A measurement: never stored."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from pipeline.core import Json, Spec, Task
from pipeline.evaluate import collect, one_by_one
from pipeline.files import load_arrays, save_arrays
from pipeline.quality import quality, versus_reference
from pipeline.steps.common import Input, Tools, dataset, spec

EVIDENCE = "evidence.npz"
EXAMPLES = 3
"""Samples of which the report shows what the file made, where that can be read."""


def run(task: Json, inputs: list[Input], folder: Path, tools: Tools) -> Json:
    """Writes the evidence (a row a sample) and returns the quality as the report holds it."""
    artifact, data = inputs[0], dataset(task)
    judge: Task = spec(artifact.facts["family"]).build().task(data.domain)
    runtime = Spec("runtime", task["runtime"]).build()
    predictors = {}
    for name, files in artifact.facts["graphs"].items():
        loaded = runtime.load([artifact.folder / file for file in files], threads=task["threads"])
        predictors[name] = one_by_one(loaded) if loaded.batch == 1 else loaded
    evidence = collect(judge, predictors, data, "test", progress=tools.progress)
    save_arrays(folder / EVIDENCE, evidence)
    examples = judge.examples(predictors, data.batch("test", slice(0, EXAMPLES)))
    found = replace(quality(judge, evidence), examples=list(examples))
    if len(inputs) > 1:
        found = replace(found, versus_reference=versus_reference(judge, evidence, load_arrays(inputs[1].folder / EVIDENCE)))
    return asdict(found)
