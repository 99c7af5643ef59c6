"""Exports a model to one format, and lets no file out that does not do what the torch module does.

Files that compute in float are compared output by output, whatever their weights are stored in; those whose activations are
quantized by the task's metric on validation samples, because their outputs may differ and still be right.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import model_file
from pipeline.coded_file import decode, encode, few_values
from pipeline.core import Arrays, Dataset, Graph, Json, Model, ParityError, Predict, Spec, Task
from pipeline.errors import UserError
from pipeline.evaluate import collect, module_predictor, module_predictors, observed, one_by_one
from pipeline.export import _parity as parity
from pipeline.files import save_arrays
from pipeline.sizes import coded_path
from pipeline.sources import version
from pipeline.steps.common import Input, Tools, dataset
from reports.record import Parity

PARITY_SAMPLES = 32
METRIC_SAMPLES = 512
METRIC_TOLERANCE = 0.1
"""A quantized file that loses a larger part of its metric was lowered wrongly; smaller losses are results, and reported."""
SAMPLE = "sample.npz"
"""One real input of the first graph, for whoever measures the file later."""
ANSWER = "answer.npz"
"""What the torch module answers to it."""


def run(task: Json, inputs: list[Input], folder: Path, tools: Tools) -> Json:
    """Writes a file (or several) a graph; the facts name them and hold the parity."""
    given, data = inputs[0], dataset(task)
    model = model_file.load(given.folder)
    family = model.family.build()
    graphs: dict[str, Graph] = family.graphs(model.module, data.domain)
    exporter: Any = Spec("format", task["format"]).build()
    judge = family.task(data.domain)
    calibration = _calibration(model, judge, graphs, data, task["seed"])
    provenance = _provenance(task, model, data, given)
    files = {}
    for index, (name, graph) in enumerate(graphs.items()):
        tools.progress(index, len(graphs) + 1, f"converting {name}")
        files[name] = exporter.export(model, graph, folder / name, calibration.get(name, []), provenance)
    tools.progress(len(graphs), len(graphs) + 1, "comparing with torch")
    runtime = Spec("runtime", task["runtime"]).build()
    predictors: dict[str, Predict] = {name: _predictor(runtime, paths) for name, paths in files.items()}
    asked = _observed(judge, graphs, data.batch("validation", slice(0, PARITY_SAMPLES)), PARITY_SAMPLES, task["seed"])
    found = _parity(model, judge, graphs, predictors, data, exporter, asked)
    if not found.ok:
        raise ParityError(_complaint(found))
    _code(model, [path for paths in files.values() for path in paths])
    first, graph = next(iter(graphs.items()))
    save_arrays(folder / SAMPLE, asked[first][0])
    save_arrays(folder / ANSWER, module_predictor(graph)(asked[first][0]))
    names = {name: [str(path.relative_to(folder)) for path in paths] for name, paths in files.items()}
    return {"format": task["format"], "family": asdict(model.family), "graphs": names, "parity": asdict(found)}


def _calibration(model: Model, judge: Task, graphs: dict[str, Graph], data: Dataset, seed: int) -> dict[str, list[Arrays]]:
    """Inputs of each graph on training samples, where the precision needs ranges."""
    if not model.precision or model.precision.activations != "static":
        return {}
    count = model.precision.calibration_samples
    chosen = np.sort(np.random.default_rng(seed).permutation(data.size("train"))[:count])
    return _observed(judge, graphs, data.batch("train", chosen), count, seed)


def _observed(judge: Task, graphs: dict[str, Graph], samples: Arrays, count: int, seed: int) -> dict[str, list[Arrays]]:
    """What the judge asks of the torch module's graphs over some samples."""
    predictors = module_predictors(graphs)
    found = observed(judge, predictors, samples, {name: graph.inputs for name, graph in graphs.items()}, count, seed)
    if unasked := [name for name, inputs in found.items() if not inputs]:
        raise UserError(f"the judge never runs graph {unasked[0]!r}, so nothing shows that its file is right")
    return found


def _provenance(task: Json, model: Model, data: Dataset, given: Input) -> Json:
    """What the file itself tells of where it comes from."""
    learned = model.domain.name
    return {
        "schema": "edgepress.provenance/1",
        "model": Path(model.family.name).stem,
        "steps": json.loads(json.dumps(model.history)),
        "weights_sha256": given.sha256[model_file.WEIGHTS],
        "data": data.domain.name,
        **({"pretrained_on": learned} if learned != data.domain.name else {}),
        "training_data_sha256": data.sha256,
        "seed": task["seed"],
        "versions": {name: version(name) for name in ("torch", "onnx", "onnxruntime", "openvino", "nncf", "litert_torch")},
    }


def _predictor(runtime: Any, files: list[Path]) -> Predict:
    loaded = runtime.load(files, threads=1)
    return one_by_one(loaded) if loaded.batch == 1 else loaded


def _parity(
    model: Model,
    task: Task,
    graphs: dict[str, Graph],
    predictors: dict[str, Predict],
    data: Dataset,
    exporter: Any,
    asked: dict[str, list[Arrays]],
) -> Parity:
    torch_predictors = module_predictors(graphs)
    found = [parity.check(torch_predictors[name], predictors[name], asked[name], exporter.tolerance) for name in graphs]
    worst = max(found, key=lambda each: each.max_abs_diff)
    binary = any(each["technique"] == "binarize" for each in model.surgery)
    if (not model.precision or model.precision.activations == "float") and (worst.ok or not binary):
        return worst
    # Integers round, and a sign turns where a real layer's sum in another order comes to the other side of its threshold.
    values = [task.value(collect(task, these, data, "validation", METRIC_SAMPLES)) for these in (torch_predictors, predictors)]
    drop = (values[0] - values[1]) * (1 if task.higher_is_better else -1)
    whole = 1.0 if task.unit == "fraction" else abs(values[0])
    tolerance = max(METRIC_TOLERANCE * whole, task.margin)
    return Parity(worst.max_abs_diff, tolerance, drop <= tolerance, metric_drop=drop)


def _code(model: Model, files: list[Path]) -> None:
    """Beside each file that holds clustered weights: what travels instead of it, proven to give the same bytes."""
    arrays = [tensor.numpy() for tensor in model.module.state_dict().values()]
    if all(array.ndim < 2 or few_values(array) is None for array in arrays):
        return  # a few equal scales or biases make no clustered model
    for path in files:
        data = path.read_bytes()
        coded = encode(data, arrays)
        if coded is None:
            continue
        if decode(coded, limit=len(data)) != data:
            raise ParityError(f"{path.name}: its coded file does not give it back")
        coded_path(path).write_bytes(coded)


def _complaint(found: Parity) -> str:
    if found.metric_drop is not None:
        return (
            f"parity: the file loses {found.metric_drop:.3f} of the metric on validation samples, more than {found.tolerance:.3g}"
        )
    return f"parity: outputs differ from torch by {found.max_abs_diff:.2g}, more than {found.tolerance:.0e}"
