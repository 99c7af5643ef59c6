import subprocess
import sys

import pytest

from pipeline.registry import ROOT
from targets.runtimes._openvino import library
from tests.pipeline.export.conftest import same_provenance


def _read(made):
    return library().Core().read_model(made.files[0])


@pytest.mark.parametrize("int8", [False, True])
def test_tensors_have_the_declared_names_and_float_types(export, int8):
    model = _read(export("openvino", "cnn", int8=int8))
    assert [(port.names, port.get_element_type().to_string()) for port in model.inputs] == [({"image"}, "f32")]
    assert [(port.names, port.get_element_type().to_string()) for port in model.outputs] == [({"logits"}, "f32")]


@pytest.mark.parametrize("int8", [False, True])
def test_the_provenance_is_in_the_runtime_info(export, int8):
    assert same_provenance(_read(export("openvino", "cnn", int8=int8)).get_rt_info(["edgepress", "provenance"]).value)


def test_float_weights_stay_float32(export):
    types = {
        op.get_element_type().to_string() for op in _read(export("openvino", "cnn")).get_ops() if op.get_type_name() == "Constant"
    }
    assert "f16" not in types and "f32" in types


def test_int8_quantizes_every_layer_with_weights(export):
    kinds = [op.get_type_name() for op in _read(export("openvino", "cnn", int8=True)).get_ops()]
    layers = kinds.count("Convolution") + kinds.count("MatMul")
    assert layers == 3 and kinds.count("FakeQuantize") == layers


def test_a_fresh_process_writes_the_same_bytes_without_a_word_to_the_terminal_or_the_network(export, tmp_path):
    """Names that count a process's operations, compiled extensions and telemetry would all show here."""
    code = (
        "import sys; from pathlib import Path; from pipeline.core import Graph, Precision; from pipeline.registry import find;"
        "from tests.pipeline.export.conftest import INPUTS, PROVENANCE, build, images, model_of;"
        "g = Graph(build('cnn'), INPUTS, ('logits',)); m = model_of(g, Precision('static', calibration_samples=32));"
        "find('format', 'openvino')().export(m, g, Path(sys.argv[1]), images(40, seed=1), PROVENANCE);"
        "assert 'openvino' in sys.modules and sys.modules['openvino_telemetry'] is None"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "cnn")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
    content = b"".join((tmp_path / f"cnn{suffix}").read_bytes() for suffix in (".xml", ".bin"))
    assert content == export("openvino", "cnn", int8=True).bytes
