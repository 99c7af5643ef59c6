"""Int8 activations: ranges of each call, and ranges that leave out what is rare; what a format has not, it says."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from pipeline.core import Graph, Precision, Unsupported
from pipeline.export.tflite import _percentiles
from pipeline.registry import find
from tests.pipeline.export.conftest import INPUTS, PREDICTORS, Exported, build, images, model_of


class Lstm(nn.Module):
    """Reads the image row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.head = nn.LSTM(8, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        rows, _ = self.recurrent(image.squeeze(1))
        return self.head(rows[:, -1])


def module_of(architecture: str) -> nn.Module:
    torch.manual_seed(0)
    return Lstm().eval() if architecture == "lstm" else build(architecture)


def exported(form, architecture, precision, path, samples=40) -> Exported:
    graph = Graph(module_of(architecture), INPUTS, ("logits",))
    calibration = images(samples, seed=1) if precision and precision.activations == "static" else []
    files = find("format", form)().export(model_of(graph, precision), graph, path, calibration, {})
    return Exported(graph, files, PREDICTORS[form](files))


@pytest.mark.parametrize("form", ["onnx", "tflite"])
@pytest.mark.parametrize("architecture", ["mlp", "cnn", "gru", "lstm"])
def test_dynamic_int8_needs_no_samples_and_keeps_most_answers(form, architecture, tmp_path):
    made = exported(form, architecture, Precision("dynamic"), tmp_path / "m")
    assert made.agreement() >= 0.85
    plain = exported(form, architecture, None, tmp_path / "float")
    ratio = 0.9 if (form, architecture) in (("tflite", "gru"), ("tflite", "lstm")) else 0.5
    assert len(made.bytes) < ratio * len(plain.bytes)


@pytest.mark.parametrize(("architecture", "operator"), [("mlp", "MatMulInteger"), ("lstm", "DynamicQuantizeLSTM")])
def test_onnx_computes_dynamic_int8_in_integers_of_seven_bits(architecture, operator, tmp_path):
    made = exported("onnx", architecture, Precision("dynamic"), tmp_path / "m")
    model = onnx.load(made.files[0])
    assert operator in {node.op_type for node in model.graph.node}
    signed = [onnx.numpy_helper.to_array(each) for each in model.graph.initializer if each.data_type == onnx.TensorProto.INT8]
    largest = max(np.abs(each.astype(int)).max() for each in signed if each.size > 100)
    assert largest <= 64  # two products with unsigned activations fit in 16 bits


def test_openvino_says_why_it_has_no_dynamic_int8(tmp_path):
    with pytest.raises(Unsupported, match=r"no OpenVINO file says that each call is to quantize .*NNCF has no such mode"):
        exported("openvino", "mlp", Precision("dynamic"), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("form", "calibration"), [("onnx", "percentile"), ("onnx", "entropy"), ("openvino", "percentile"), ("tflite", "percentile")]
)
def test_other_calibrations_give_other_files_that_keep_most_answers(form, calibration, tmp_path):
    made = exported(form, "cnn", Precision("static", calibration=calibration, calibration_samples=32), tmp_path / "m")
    whole = exported(form, "cnn", Precision("static", calibration_samples=32), tmp_path / "minmax")
    assert made.bytes != whole.bytes
    assert made.agreement() >= 0.85


@pytest.mark.parametrize("form", ["openvino", "tflite"])
def test_a_format_without_entropy_says_so(form, tmp_path):
    with pytest.raises(Unsupported, match="entropy"):
        exported(form, "cnn", Precision("static", calibration="entropy"), tmp_path / "m")


def test_a_percentile_of_samples_leaves_out_the_widest():
    state: dict = {}
    for index in range(200):
        state = _percentiles(state, {"min": np.array([[-1.0 - index / 200]]), "max": np.array([[2.0 if index else 100.0]])})
    assert state["max"].shape == (1, 1) and state["max"].item() == pytest.approx(2.0)
    assert -2 < state["min"].item() < -1.95
