import numpy as np
import onnx
from onnx import numpy_helper

from tests.pipeline.export.conftest import PROVENANCE, same_provenance


def _read(made):
    return onnx.load(made.files[0])


def test_names_shapes_and_opset(export):
    proto = _read(export("onnx", "cnn"))
    shape = [dimension.dim_value for dimension in proto.graph.input[0].type.tensor_type.shape.dim]
    assert (proto.graph.input[0].name, shape, proto.graph.output[0].name) == ("image", [1, 1, 8, 8], "logits")
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 20)]
    onnx.checker.check_model(proto, full_check=True)


def test_the_provenance_is_its_only_metadata(export):
    for int8 in (False, True):
        (entry,) = _read(export("onnx", "cnn", int8=int8)).metadata_props
        assert entry.key == "edgepress" and same_provenance(entry.value)
    assert entry.value == '{"a":{"\\u00e9":0.5},"b":["step",1]}', PROVENANCE


def test_batch_norm_is_folded(export):
    assert "BatchNormalization" not in {node.op_type for node in _read(export("onnx", "cnn")).graph.node}


def test_int8_weights_are_signed_of_seven_bits_and_scaled_per_channel(export):
    proto = _read(export("onnx", "cnn", int8=True))
    values = {entry.name: numpy_helper.to_array(entry) for entry in proto.graph.initializer}
    weights = [value for value in values.values() if value.dtype == np.int8 and value.ndim >= 2]
    assert len(weights) == 3
    assert max(np.abs(weight.astype(int)).max() for weight in weights) <= 64
    assert sorted(scale.size for name, scale in values.items() if name.endswith("weight_scale")) == [10, 16, 64]


def test_activations_are_unsigned(export):
    proto = _read(export("onnx", "cnn", int8=True))
    values = {entry.name: numpy_helper.to_array(entry) for entry in proto.graph.initializer}
    zero_points = [values[node.input[2]] for node in proto.graph.node if node.op_type == "QuantizeLinear"]
    assert zero_points and {point.dtype for point in zero_points} == {np.dtype(np.uint8)}
