"""Binary layers in an .onnx file beside real ones that are quantized: the quantizers know an operator that is ours."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest

from pipeline.core import Precision
from pipeline.export._trace import run
from pipeline.export.onnx_ import Onnx
from targets.runtimes.onnxruntime_ import OPERATORS, OnnxRuntime
from tests.pipeline.export.conftest import PROVENANCE, model_of
from tests.pipeline.export.test_tflite_packed import ALIKE, made, samples


@pytest.mark.parametrize("activations", ["static", "dynamic"])
def test_real_layers_beside_a_chain_are_int8(activations: Literal["static", "dynamic"], tmp_path: Path) -> None:
    graph = made("pools")
    precision = Precision(activations, calibration_samples=16)
    files = Onnx().export(model_of(graph, precision), graph, tmp_path / "net", samples(graph, 16), PROVENANCE)
    nodes = onnx.load(files[0]).graph.node
    assert [node.op_type for node in nodes if node.domain == OPERATORS.decode()] == ["Packed"]
    kinds = [node.op_type for node in nodes]
    assert "ConvInteger" in kinds if activations == "dynamic" else kinds.count("DequantizeLinear") >= 4
    predict = OnnxRuntime().load(files, threads=1)
    chosen = [predict(each)["logits"].argmax() == run(graph, each)["logits"].argmax() for each in samples(graph, 50)]
    assert np.mean(chosen) > ALIKE
