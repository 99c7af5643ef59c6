"""Recurrent weights in a quarter of the bytes, for runtimes that have no int8 recurrent kernel.

The matrices are stored as int8 with a scale a row, and operators with constant inputs restore them. Runtimes fold such
operators once, when they load the file, so no call is slower: the layer computes in float32 as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core import Array

if TYPE_CHECKING:
    import onnx

LARGEST = 127
ONNX_NODES = ("GRU", "LSTM", "RNN")
ONNX_WEIGHTS = (1, 2)
"""Which inputs of these nodes are the input and the recurrent matrix, both [directions, gates * hidden, size]."""
OPENVINO_WEIGHTS = {"GRUSequence": (3, 4), "RNNSequence": (3, 4), "LSTMSequence": (4, 5)}


def rounded(weight: Array, per_channel: bool) -> tuple[Array, Array]:
    """The int8 values and their float32 scales: one a row, or one in all."""
    largest = np.abs(weight).max(axis=-1 if per_channel else None, keepdims=True)
    scale = (np.where(largest > 0, largest, 1) / LARGEST).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def store_onnx_as_int8(model: onnx.ModelProto, per_channel: bool) -> onnx.ModelProto:
    """Rewrites the recurrent nodes' constant matrices, in place.

    Not with DequantizeLinear, which ONNX Runtime does not fold: 12 to 28 % slower calls here.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in ONNX_NODES]
    for name in dict.fromkeys(node.input[index] for node in nodes for index in ONNX_WEIGHTS):
        if name not in initializers:
            continue
        values, scale = rounded(numpy_helper.to_array(initializers[name]), per_channel)
        graph.initializer.remove(initializers[name])
        graph.initializer.append(numpy_helper.from_array(values, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
        graph.node.insert(0, helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name]))
        graph.node.insert(0, helper.make_node("Cast", [f"{name}_int8"], [f"{name}_cast"], to=TensorProto.FLOAT))
    return model


def store_openvino_as_int8(model: Any, per_channel: bool) -> Any:
    """Rewrites the recurrent operations' constant matrices, in place, after quantization.

    By way of int32: the CPU plugin keeps an int8 Convert and Multiply for its int8 kernels, which recurrent operations
    then refuse ("expects Constant"); this pair it folds.
    """
    from openvino import opset13

    for operation in model.get_ordered_ops():
        for index in OPENVINO_WEIGHTS.get(operation.get_type_name(), ()):
            constant = operation.input_value(index).get_node()
            if constant.get_type_name() == "Constant":
                values, scale = rounded(constant.get_data(), per_channel)
                wide = opset13.convert(opset13.convert(opset13.constant(values), "i32"), "f32")
                restored = opset13.multiply(wide, opset13.constant(scale))
                operation.input(index).replace_source_output(restored.output(0))
    return model
