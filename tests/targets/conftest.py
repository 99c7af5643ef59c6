import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) / 10


@pytest.fixture
def onnx_file(tmp_path):
    """Writes y = x @ WEIGHTS + step, as a file whose batch is fixed (an integer) or open (a name)."""

    def write(batch=1, name="tiny.onnx"):
        inputs = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4]),
            helper.make_tensor_value_info("step", TensorProto.INT64, [1]),
        ]
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["product"]),
            helper.make_node("Cast", ["step"], ["float_step"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["product", "float_step"], ["y"]),
            helper.make_node("ReduceMax", ["y"], ["largest"], keepdims=0),
        ]
        outputs = [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3]),
            helper.make_tensor_value_info("largest", TensorProto.FLOAT, []),
        ]
        graph = helper.make_graph(nodes, "tiny", inputs, outputs, [numpy_helper.from_array(WEIGHTS, "w")])
        path = tmp_path / name
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
        return path

    return write


@pytest.fixture
def inputs():
    return {"x": np.array([[1, 2, 3, 4]], dtype=np.float32), "step": np.array([5])}


@pytest.fixture
def classifier(tmp_path):
    """A file whose logits are its input of three numbers."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "logits")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["logits"])], "classifier", value[:1], value[1:])
    path = tmp_path / "classifier.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path
