"""Exports a model to one format, and lets no file out that does not do what the torch module does.

Float files are compared output by output; quantized ones by the task's metric on validation samples, because their outputs
may differ and still be right.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import model_file
from pipeline.core import Arrays, Dataset, Exporter, Graph, Json, Model, ParityError, Predict, Spec
from pipeline.evaluate import collect, module_predictor, one_by_one
from pipeline.export import _parity as parity
from pipeline.files import save_arrays
from pipeline.sources import version
from pipeline.steps.common import Input, Tools, dataset
from reports.record import Parity

PARITY_SAMPLES = 32
METRIC_SAMPLES = 512
METRIC_TOLERANCE = 0.1
"""A quantized file that loses more of its metric than this was lowered wrongly; smaller losses are results, and reported."""
SAMPLE = "sample.npz"
"""One real input, for whoever measures the file later."""


def run(task: Json, inputs: list[Input], folder: Path, tools: Tools) -> Json:
    """Writes a file (or several) a graph; the facts name them and hold the parity."""
    given, data = inputs[0], dataset(task)
    model = model_file.load(given.folder)
    family = model.family.build()
    graphs: dict[str, Graph] = family.graphs(model.module, data.domain)
    exporter: Any = Spec("format", task["format"]).build()
    tools.progress(0, 2, "converting")
    files = {
        name: _export(exporter, model, graph, folder / name, data, _provenance(task, model, data, given))
        for name, graph in graphs.items()
    }
    tools.progress(1, 2, "comparing with torch")
    runtime = Spec("runtime", task["runtime"]).build()
    predictors: dict[str, Predict] = {name: _predictor(runtime, paths) for name, paths in files.items()}
    found = _parity(model, family.task(data.domain), graphs, predictors, data, exporter)
    if not found.ok:
        raise ParityError(_complaint(found))
    first = next(iter(graphs.values()))
    sample = data.batch("validation", slice(0, 1))
    save_arrays(folder / SAMPLE, {name: sample[name] for name in first.inputs})
    names = {name: [str(path.relative_to(folder)) for path in paths] for name, paths in files.items()}
    return {"format": task["format"], "graphs": names, "parity": asdict(found)}


def _export(exporter: Exporter, model: Model, graph: Graph, path: Path, data: Dataset, provenance: Json) -> list[Path]:
    calibration: list[Arrays] = []
    if model.precision:
        size = data.size("train")
        chosen = np.random.default_rng(provenance["seed"]).permutation(size)[: model.precision.calibration_samples]
        for index in np.sort(chosen):
            batch = data.batch("train", slice(int(index), int(index) + 1))
            calibration.append({name: batch[name] for name in graph.inputs})
    return exporter.export(model, graph, path, calibration, provenance)


def _provenance(task: Json, model: Model, data: Dataset, given: Input) -> Json:
    """What the file itself tells of where it comes from."""
    return {
        "schema": "edgepress.provenance/1",
        "model": Path(model.family.name).stem,
        "steps": json.loads(json.dumps(model.history)),
        "weights_sha256": given.sha256[model_file.WEIGHTS],
        "data": data.domain.name,
        "training_data_sha256": data.sha256,
        "seed": task["seed"],
        "versions": {name: version(name) for name in ("torch", "onnx", "onnxruntime", "openvino", "nncf", "litert_torch")},
    }


def _predictor(runtime: Any, files: list[Path]) -> Predict:
    loaded = runtime.load(files, threads=1)
    return one_by_one(loaded) if loaded.batch == 1 else loaded


def _parity(
    model: Model, task: Any, graphs: dict[str, Graph], predictors: dict[str, Predict], data: Dataset, exporter: Any
) -> Parity:
    torch_predictors = {name: module_predictor(graph) for name, graph in graphs.items()}
    samples = data.batch("validation", slice(0, PARITY_SAMPLES))
    worst: Parity | None = None
    for name, graph in graphs.items():
        inputs = {key: samples[key] for key in graph.inputs}
        found = parity.check(torch_predictors[name], predictors[name], [inputs], exporter.tolerance)
        worst = found if worst is None or found.max_abs_diff > worst.max_abs_diff else worst
    if worst is None:
        raise ParityError("the family declares no graph to deploy")
    if not model.precision:
        return worst
    values = [task.value(collect(task, these, data, "validation", METRIC_SAMPLES)) for these in (torch_predictors, predictors)]
    drop = (values[0] - values[1]) * (1 if task.higher_is_better else -1)
    return Parity(worst.max_abs_diff, METRIC_TOLERANCE, drop <= METRIC_TOLERANCE, metric_drop=drop)


def _complaint(found: Parity) -> str:
    if found.metric_drop is not None:
        return f"parity: the file loses {found.metric_drop:.3f} of the metric on validation samples, more than {found.tolerance}"
    return f"parity: outputs differ from torch by {found.max_abs_diff:.2g}, more than {found.tolerance:.0e}"
