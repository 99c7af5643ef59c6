"""Integer weights in an OpenVINO file: stored in 4 or 8 bits, restored by operations with constant inputs.

By way of int32, because the CPU plugin folds such operations once, when it loads the file, and then computes in float32 as
before. Without the detour it keeps an int8 Convert and Multiply: for int8 kernels, which recurrent operations then refuse
("expects Constant"), and for matrices whose inputs it quantizes at each call where the processor has VNNI or AMX, so that a
file's answers would depend on the machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.core import Precision
from pipeline.export._integers import Integers, found, packed, rounded

RECURRENT_WEIGHTS = {"GRUSequence": (3, 4), "RNNSequence": (3, 4), "LSTMSequence": (4, 5)}
"""Which inputs of these operations are the input and the recurrent matrix, both [directions, gates * hidden, size]."""


def store_found(model: Any, precision: Precision) -> Any:
    """Rewrites the constants that lie on a grid, in place."""
    for operation in model.get_ordered_ops():
        if operation.get_type_name() != "Constant" or _limits(operation):
            continue
        if integers := found(operation.get_data(), precision):
            _store(operation, integers)
    return model


def _limits(constant: Any) -> bool:
    """Whether it says from where on a number becomes another bit: nearly the same limit is another."""
    return any(each.get_node().get_type_name() == "FakeQuantize" for each in constant.output(0).get_target_inputs())


def store_recurrent(model: Any, per_channel: bool) -> Any:
    """Rounds the recurrent operations' constant matrices to 8 bits and rewrites them, in place, after quantization."""
    for operation in model.get_ordered_ops():
        for index in RECURRENT_WEIGHTS.get(operation.get_type_name(), ()):
            constant = operation.input_value(index).get_node()
            if constant.get_type_name() == "Constant":
                _store(constant, rounded(constant.get_data(), per_channel))
    return model


def _store(constant: Any, integers: Integers) -> None:
    from openvino import opset13

    values, scale = integers.plain or (integers.values, integers.scale)
    wide = opset13.convert(opset13.convert(_constant(values, integers.bits), "i32"), "f32")
    restored = opset13.multiply(wide, opset13.constant(scale))
    if not integers.plain:
        restored = opset13.reshape(restored, opset13.constant(np.array(integers.turned, np.int64)), special_zero=False)
        restored = opset13.transpose(restored, opset13.constant(np.array(integers.back, np.int64)))
    for reader in constant.output(0).get_target_inputs():
        reader.replace_source_output(restored.output(0))


def _constant(values: Any, bits: int) -> Any:
    from openvino import Tensor, Type, opset13

    if bits == 8:
        return opset13.constant(values)
    tensor = Tensor(Type.i4, list(values.shape))  # one made of an array would share its memory, and outlive it
    tensor.data.reshape(-1).view(np.uint8)[:] = packed(values)
    return opset13.constant(tensor)
