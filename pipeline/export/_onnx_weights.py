"""Integer weights in an ONNX file: stored in 4 or 8 bits, restored by operators with constant inputs.

A runtime folds such operators once, when it loads the file, so no call is slower: layers compute in float32 as before. Not
DequantizeLinear, which ONNX Runtime does not fold: 12 to 28 % slower calls here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core import Array, Precision
from pipeline.export._integers import Integers, found, packed, rounded

if TYPE_CHECKING:
    import onnx

RECURRENT = ("GRU", "LSTM", "RNN")
RECURRENT_WEIGHTS = (1, 2)
"""Which inputs of these nodes are the input and the recurrent matrix, both [directions, gates * hidden, size]."""
INT4_OPSET = 21
"""The first whose Cast takes 4-bit integers."""


def store_found(model: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """Rewrites the constants that lie on a grid, in place."""
    from onnx import numpy_helper

    for tensor in list(model.graph.initializer):
        if integers := found(numpy_helper.to_array(tensor), precision):
            _store(model, tensor, integers)
    return model


def store_recurrent(model: onnx.ModelProto, per_channel: bool) -> onnx.ModelProto:
    """Rounds the recurrent nodes' constant matrices to 8 bits and rewrites them, in place: no static int8 kernel takes them."""
    from onnx import numpy_helper

    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in RECURRENT]
    for name in dict.fromkeys(node.input[index] for node in nodes for index in RECURRENT_WEIGHTS):
        if name in initializers:
            _store(model, initializers[name], rounded(numpy_helper.to_array(initializers[name]), per_channel))
    return model


def _store(model: onnx.ModelProto, tensor: onnx.TensorProto, integers: Integers) -> None:
    """Puts integers, scale and the operators that restore them in the constant's place."""
    from onnx import TensorProto, helper, numpy_helper

    graph, name = model.graph, tensor.name
    values, scale = integers.plain or (integers.values, integers.scale)
    graph.initializer.remove(tensor)
    graph.initializer.append(_constant(values, integers.bits, f"{name}_int{integers.bits}"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Cast", [f"{name}_int{integers.bits}"], {"to": TensorProto.FLOAT}),
        ("Mul", [f"{name}_scale"], {}),
    ]
    if not integers.plain:
        graph.initializer.append(numpy_helper.from_array(np.array(integers.turned, np.int64), f"{name}_shape"))
        steps += [("Reshape", [f"{name}_shape"], {}), ("Transpose", [], {"perm": integers.back})]
    given = ""
    nodes = []
    for index, (kind, inputs, attributes) in enumerate(steps):
        made = name if index == len(steps) - 1 else f"{name}_{kind}"
        nodes.append(helper.make_node(kind, [given, *inputs] if given else inputs, [made], **attributes))
        given = made
    for node in reversed(nodes):
        graph.node.insert(0, node)
    if integers.bits == 4:
        opset = next(opset for opset in model.opset_import if not opset.domain)
        opset.version = max(opset.version, INT4_OPSET)


def _constant(values: Array, bits: int, name: str) -> onnx.TensorProto:
    from onnx import TensorProto, helper, numpy_helper

    if bits == 8:
        return numpy_helper.from_array(values, name)
    return helper.make_tensor(name, TensorProto.INT4, values.shape, packed(values).tobytes(), raw=True)
