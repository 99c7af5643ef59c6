"""Quantization-aware training: weights end on their grids, files give what was trained, zeros and students go through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from pipeline import train
from pipeline.compress._grid import levels
from pipeline.compress._weights import weights, zeros
from pipeline.compress.distill import Distill
from pipeline.compress.prune_unstructured import PruneUnstructured
from pipeline.compress.quantize_aware import QuantizeAware
from pipeline.core import Context, Dataset, Model, Outlook, Precision, Spec, Train
from pipeline.errors import UserError
from pipeline.evaluate import module_predictor, one_by_one
from pipeline.export.onnx_ import Onnx

Build = Callable[..., Model]


def grid_error(weight: np.ndarray[Any, Any], bits: int) -> float:
    """How far the rows of a weight are from whole multiples of some step each, in steps; small only on a grid."""
    worst = 0.0
    for row in weight.reshape(len(weight), -1):
        largest = np.abs(row).max()
        tried = [np.abs(row / largest * top - np.round(row / largest * top)).max() for top in range(1, levels(bits) + 1)]
        worst = max(worst, min(tried) if largest else 0.0)
    return worst


def trained(untrained: Build, context: Context, scratch: Path, name: str = "mlp", **options: object) -> Model:
    model = untrained(name, **options)
    train.fit(model.module, model.family.build(), Train(epochs=6, batch=32), replace(context, scratch=scratch))
    return model


def loss(model: Model, data: Dataset) -> float:
    family = model.family.build()
    batch = {key: torch.from_numpy(value) for key, value in data.batch("train", slice(None)).items()}
    with torch.no_grad():
        return float(family.loss(family.forward(model.module.eval(), batch), batch))


@pytest.mark.parametrize("epochs", [0, 1])
@pytest.mark.parametrize("name", ["lenet5", "gru_classifier"])
def test_every_weight_ends_on_its_grid_and_no_bias(untrained: Build, context: Context, epochs: int, name: str) -> None:
    model = untrained(name)
    rounded = QuantizeAware(weight_bits=3, epochs=epochs).apply(model, context)
    assert all(grid_error(each.detach().numpy(), 3) < 1e-4 for each in weights(rounded.module).values())
    assert rounded.module.state_dict().keys() == model.module.state_dict().keys()
    assert rounded.precision == Precision("static", 3)
    biases = [bias for name, bias in rounded.module.named_parameters() if bias.dim() == 1]
    assert max(grid_error(bias.detach().numpy()[None], 3) for bias in biases if len(bias) > 1) > 0.05


def test_training_recovers_what_rounding_alone_loses(untrained: Build, context: Context, tmp_path: Path) -> None:
    model = trained(untrained, context, tmp_path / "a")
    alone = QuantizeAware(weight_bits=2, epochs=0).apply(model, context)
    aware = QuantizeAware(weight_bits=2, epochs=3).apply(model, replace(context, scratch=tmp_path / "b"))
    lost, left = (loss(each, context.data) - loss(model, context.data) for each in (alone, aware))
    assert left < 0.5 * lost


def test_a_group_has_its_own_scale(untrained: Build, context: Context) -> None:
    grouped = QuantizeAware(weight_bits=3, activations="float", group=8, epochs=0).apply(untrained(hidden=[16]), context)
    assert all(grid_error(each.detach().numpy().reshape(-1, 8), 3) < 1e-4 for each in weights(grouped.module).values())
    assert any(grid_error(each.detach().numpy(), 3) > 0.01 for each in weights(grouped.module).values())
    assert grouped.precision == Precision("float", 3, group=8)


def test_normalization_folded_into_a_convolution_leaves_a_grid(untrained: Build, context: Context, tmp_path: Path) -> None:
    rounded = QuantizeAware(epochs=1).apply(untrained("resnet8", width=0.25), context)
    graph = rounded.family.build().graphs(rounded.module, rounded.domain)["classifier"]
    (file,) = Onnx().export(replace(rounded, precision=None), graph, tmp_path / "classifier", [], {})
    proto = onnx.load(file)
    assert not any(node.op_type == "BatchNormalization" for node in proto.graph.node)
    kernels = [array for array in map(numpy_helper.to_array, proto.graph.initializer) if array.ndim == 4]
    assert len(kernels) == 9
    assert all(grid_error(array, 4) < 1e-3 for array in kernels)


def test_the_int8_file_answers_as_the_trained_module(untrained: Build, context: Context, tmp_path: Path) -> None:
    model = trained(untrained, context, tmp_path / "a", "resnet8", width=0.25)
    aware = QuantizeAware(epochs=2).apply(model, replace(context, scratch=tmp_path / "b"))
    graph = aware.family.build().graphs(aware.module, aware.domain)["classifier"]
    images = context.data.splits["train"]["image"]
    calibration = [{"image": image[None]} for image in images[:64]]
    files = Onnx().export(aware, graph, tmp_path / "classifier", calibration, {})
    runtime = Spec("runtime", "onnxruntime").build()
    samples = {"image": context.data.splits["validation"]["image"]}
    answers = [predict(samples)["logits"] for predict in (one_by_one(runtime.load(files, threads=1)), module_predictor(graph))]
    agree = float((answers[0].argmax(1) == answers[1].argmax(1)).mean())
    assert agree >= 0.97  # of 200; 8-bit activations alone turn a few


def test_what_was_pruned_stays_zero(untrained: Build, context: Context, tmp_path: Path) -> None:
    pruned = PruneUnstructured(sparsity=0.8, epochs=1).apply(untrained(), context)
    steady = replace(context, train=replace(context.train, schedule="constant"), scratch=tmp_path / "aware")
    aware = QuantizeAware(weight_bits=8, epochs=1).apply(pruned, steady)  # fine steps: what moves at all is no zero
    for name, each in weights(pruned.module).items():
        assert not weights(aware.module)[name][each == 0].any()
    assert zeros(aware.module) >= zeros(pruned.module)


def test_a_student_is_trained_on(untrained: Build, context: Context, tmp_path: Path) -> None:
    student = Distill(student={"hidden": [12]}, epochs=1).apply(untrained(), context)
    aware = QuantizeAware(epochs=1, teacher=0.5).apply(student, replace(context, scratch=tmp_path / "aware"))
    assert aware.family.options["hidden"] == [12]
    assert all(grid_error(each.detach().numpy(), 4) < 1e-4 for each in weights(aware.module).values())


@pytest.mark.parametrize("activations", ["static", "float"])
def test_a_killed_step_goes_on_as_if_nothing_had_been(goes_on: Callable[..., list[float]], activations: Any) -> None:
    assert min(goes_on(QuantizeAware(activations=activations, epochs=3))) >= 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weight_bits": 1}, "weight_bits: Input should be greater than or equal to 2 (found 1)"),
        ({"weight_bits": 9}, "less than or equal to 8"),
        ({"activations": "statik"}, "did you mean 'static'?"),
        ({"group": 8}, 'group needs activations = "float"'),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as refused:
        Spec("technique", "quantize_aware", options).build()
    assert words in str(refused.value)


def test_a_group_that_does_not_fit_is_refused_before_training(context: Context) -> None:
    outlook = Outlook(Spec("model", "lenet5"), {}, lambda: context.data.domain)
    with pytest.raises(UserError, match=r"group = 8 does not divide the inputs of 0.weight \(25\)"):
        QuantizeAware(activations="float", group=8).check(outlook)
