"""Integer weights in a .tflite file: stored in 4 or 8 bits, restored by DEQUANTIZE.

LiteRT restores constants once, when it allocates its tensors, and layers compute in float32 as before. A matrix whose rows
have several groups is restored a group a row, and then reshaped at every call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.core import Array, Precision
from pipeline.export._integers import Integers, found, packed

DEQUANTIZE_VERSION = 6
"""The first that takes 4-bit integers; 5 takes a scale a channel."""


def store_found(content: bytes, precision: Precision, norms: Sequence[Array] = ()) -> bytes:
    """The file with the constants that lie on a grid rewritten; `norms` are the vectors [inputs] of the module.

    The converter may have multiplied the columns of a matrix by the weights of the norm before it, which no grid survives. One
    of these vectors then takes its factor out again, and multiplies the inputs.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for subgraph in model.subgraphs:
        for tensor, array in _floats(model, subgraph):
            if integers := found(array, precision):
                _store(model, subgraph, tensor, integers)
            elif array.ndim == 2 and (readers := _matrix_products(model, subgraph, tensor)):
                for norm in norms:
                    if norm.shape == array.shape[1:] and norm.all() and (integers := found(array / norm, precision)):
                        _store(model, subgraph, tensor, integers)
                        _multiply_inputs(model, subgraph, readers, norm)
                        break
    _empty_unread(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _floats(model: Any, subgraph: Any) -> list[tuple[int, Array]]:
    """The constants of float32: their numbers, and their values."""
    from ai_edge_litert.schema_py_generated import TensorType

    constants = []
    for index, tensor in enumerate(subgraph.tensors):
        data = model.buffers[tensor.buffer].data
        if tensor.type == TensorType.FLOAT32 and data is not None and len(data):
            constants.append((index, np.frombuffer(bytes(data), np.float32).reshape(tensor.shape)))
    return constants


def _store(model: Any, subgraph: Any, index: int, integers: Integers) -> None:
    """Makes the constant what operators at the beginning write, from integers that are constant."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator as Kind

    tensor = subgraph.tensors[index]
    tensor.buffer = 0  # the empty one
    values, scale = integers.plain or (integers.values, integers.scale)
    axes = [axis for axis, size in enumerate(scale.shape) if size > 1]
    steps: list[tuple[int, Array | None, tuple[int, ...]]] = [(Kind.DEQUANTIZE, None, tensor.shape)]
    if not integers.plain or len(axes) > 1:  # a tensor has steps along one of its axes only
        values, axes = integers.values.reshape(-1, integers.values.shape[2]), [0]
        steps = [(Kind.DEQUANTIZE, None, values.shape), (Kind.RESHAPE, np.array(integers.turned, np.int32), integers.turned)]
        if integers.back != tuple(range(len(integers.back))):
            steps.append((Kind.TRANSPOSE, np.array(integers.back, np.int32), integers.shape))
    given = _quantized(model, subgraph, values, scale.reshape(-1), max(axes, default=0), integers.bits)
    for place, (kind, argument, shape) in enumerate(steps):
        last = place == len(steps) - 1
        inputs = [given] if argument is None else [given, _tensor(model, subgraph, argument.shape, "INT32", argument)]
        given = index if last else _tensor(model, subgraph, shape, "FLOAT32", None)
        subgraph.operators.insert(place, _operator(model, kind, inputs, given))


def _matrix_products(model: Any, subgraph: Any, weight: int) -> list[Any]:
    """The operators that read a constant, if each multiplies its inputs by it."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    readers = [operator for operator in subgraph.operators if weight in operator.inputs]
    codes = [model.operatorCodes[operator.opcodeIndex] for operator in readers]
    dense = [max(code.builtinCode, code.deprecatedBuiltinCode) == BuiltinOperator.FULLY_CONNECTED for code in codes]
    return readers if all(dense) and all(operator.inputs[1] == weight for operator in readers) else []


def _multiply_inputs(model: Any, subgraph: Any, readers: list[Any], norm: Array) -> None:
    from ai_edge_litert.schema_py_generated import BuiltinOperator, BuiltinOptions, MulOptionsT

    factor = _tensor(model, subgraph, norm.shape, "FLOAT32", norm)
    for reader in readers:
        given = reader.inputs[0]
        made = _tensor(model, subgraph, tuple(subgraph.tensors[given].shape), "FLOAT32", None)
        operator = _operator(model, BuiltinOperator.MUL, [given, factor], made)
        operator.builtinOptionsType, operator.builtinOptions = BuiltinOptions.MulOptions, MulOptionsT()
        place = next(index for index, each in enumerate(subgraph.operators) if each is reader)
        subgraph.operators.insert(place, operator)
        reader.inputs = [made, *reader.inputs[1:]]


def _quantized(model: Any, subgraph: Any, values: Array, scale: Array, axis: int, bits: int) -> int:
    from ai_edge_litert.schema_py_generated import QuantizationParametersT

    index = _tensor(model, subgraph, values.shape, f"INT{bits}", packed(values) if bits == 4 else values)
    parameters = subgraph.tensors[index].quantization = QuantizationParametersT()
    parameters.scale, parameters.zeroPoint, parameters.quantizedDimension = scale, np.zeros(len(scale), np.int64), axis
    return index


def _tensor(model: Any, subgraph: Any, shape: tuple[int, ...], kind: str, data: Array | None) -> int:
    """Adds a tensor, constant if it has data; its number."""
    from ai_edge_litert.schema_py_generated import BufferT, TensorT, TensorType

    tensor = TensorT()
    tensor.shape, tensor.type, tensor.name = np.array(shape, np.int32), getattr(TensorType, kind), b""
    if data is not None:
        buffer = BufferT()
        buffer.data = np.frombuffer(data.tobytes(), np.uint8)
        tensor.buffer = len(model.buffers)
        model.buffers.append(buffer)
    subgraph.tensors.append(tensor)
    return len(subgraph.tensors) - 1


def _operator(model: Any, kind: int, inputs: list[int], output: int) -> Any:
    from ai_edge_litert.schema_py_generated import BuiltinOperator, OperatorCodeT, OperatorT

    version = DEQUANTIZE_VERSION if kind == BuiltinOperator.DEQUANTIZE else 1
    known = [(max(code.builtinCode, code.deprecatedBuiltinCode), code.version) for code in model.operatorCodes]
    if (kind, version) not in known:
        code = OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = kind
        code.version = version
        model.operatorCodes.append(code)
        known.append((kind, version))
    operator = OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = known.index((kind, version)), inputs, [output]
    return operator


def _empty_unread(model: Any) -> None:
    """Takes the data from buffers that no tensor has any more."""
    read = {tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors}
    read |= {entry.buffer for entry in model.metadata or []}
    for index, buffer in enumerate(model.buffers):
        if index not in read:
            buffer.data = None
