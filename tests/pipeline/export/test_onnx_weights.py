import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pipeline.export._onnx_weights import store_recurrent


def _lstm(weight, recurrent):
    """Two LSTM nodes that share their weights."""
    nodes = [helper.make_node("LSTM", ["x", "W", "R"], [f"y{i}"], hidden_size=2) for i in range(2)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 1, 4])
    outputs = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, [3, 1, 1, 2]) for i in range(2)]
    weights = [numpy_helper.from_array(weight, "W"), numpy_helper.from_array(recurrent, "R")]
    return helper.make_model(helper.make_graph(nodes, "g", [x], outputs, weights), opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize(("per_channel", "steps"), [(True, 8), (False, 1)])
def test_weights_are_stored_in_a_byte_each_within_half_a_step(per_channel, steps):
    random = np.random.default_rng(0)
    weight, recurrent = random.normal(size=(1, 8, 4)).astype(np.float32), random.normal(size=(1, 8, 2)).astype(np.float32)
    weight[0, 3] = 0  # a pruned row has no largest value to divide by
    model = store_recurrent(_lstm(weight, recurrent), per_channel)
    onnx.checker.check_model(model, full_check=True)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert set(stored) == {"W_int8", "W_scale", "R_int8", "R_scale"}
    assert stored["W_int8"].dtype == np.int8 and len(np.unique(stored["W_scale"])) == steps
    restored = stored["W_int8"] * stored["W_scale"]
    assert (np.abs(restored - weight) <= stored["W_scale"] * 0.5001).all()
    x = random.normal(size=(3, 1, 4)).astype(np.float32)
    expected = ReferenceEvaluator(_lstm(restored.astype(np.float32), stored["R_int8"] * stored["R_scale"])).run(None, {"x": x})
    np.testing.assert_allclose(ReferenceEvaluator(model).run(None, {"x": x}), expected, atol=1e-6)


def test_a_model_without_recurrent_nodes_is_left_alone(export):
    model = onnx.load(export("onnx", "cnn").files[0])
    before = model.SerializeToString(deterministic=True)
    assert store_recurrent(model, True).SerializeToString(deterministic=True) == before
