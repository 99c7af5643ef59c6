"""Edits a .tflite file through its flatbuffer schema: names and metadata that the converter has no option for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

ALIGNMENT = 16
"""Of a buffer's data, which the schema demands (force_align) and the Python packer of the schema forgets."""
BIAS = 3
"""Its place among the inputs of a transposed convolution."""
KEPT_METADATA = (b"min_runtime_version",)


def finished(content: bytes, inputs: Sequence[str], outputs: Sequence[str], provenance: str) -> bytes:
    """The file with these names for its inputs and outputs, short names within, and the provenance.

    The converter calls inputs args_0, args_1, ... and outputs output_0, output_1, ...; tensors within carry the path of
    torch modules, which no runtime reads and which is a fifth of a small file.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    _read_int8_again(model)
    for subgraph in model.subgraphs:
        for index, tensor in enumerate(subgraph.tensors):
            tensor.name = str(index)
    signature = model.signatureDefs[0]
    tensors = model.subgraphs[signature.subgraphIndex].tensors
    _rename(signature.inputs, tensors, {f"args_{index}": name for index, name in enumerate(inputs)})
    _rename(signature.outputs, tensors, {f"output_{index}": name for index, name in enumerate(outputs)})
    _stamp(model, provenance)
    _align(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def flat_biases(content: bytes) -> bytes:
    """The file with biases of transposed convolutions as vectors.

    Behind a transposed convolution litert-torch 0.10 folds a BatchNorm into a bias of shape [1, 1, 1, C]: ai-edge-quantizer gives
    it C scales along its first axis, and no runtime loads that.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    codes = _codes(model)
    changed = False
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            if codes[operator.opcodeIndex] == schema.BuiltinOperator.TRANSPOSE_CONV and len(operator.inputs) > BIAS:
                bias = subgraph.tensors[operator.inputs[BIAS]]
                if len(bias.shape) > 1:
                    bias.shape, changed = np.array([np.prod(bias.shape)], np.int32), True
    if not changed:
        return content
    _align(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _codes(model: Any) -> list[int]:
    """What each of the file's kinds of operator is."""
    return [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]


def _read_int8_again(model: Any) -> None:
    """Gives operators that write int8 the int8 inputs which the quantizer took from them.

    ai-edge-quantizer 0.10 counts a graph's output as a consumer with the number -1. Where such an output is also read inside,
    the dequantized copy that is meant for the outside goes to operator -1, the last one, too: a float input beside int8
    weights, which no runtime loads.
    """
    from ai_edge_litert import schema_py_generated as schema

    edges = (schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE)
    codes = _codes(model)
    for subgraph in model.subgraphs:
        source = {
            operator.outputs[0]: operator.inputs[0] for operator in subgraph.operators if codes[operator.opcodeIndex] == edges[1]
        }
        for operator in subgraph.operators:
            writes_int8 = all(subgraph.tensors[index].type == schema.TensorType.INT8 for index in operator.outputs)
            if writes_int8 and codes[operator.opcodeIndex] not in edges:
                operator.inputs = [source.get(index, index) for index in operator.inputs]


def _rename(entries: Any, tensors: Any, names: dict[str, str]) -> None:
    for entry in entries:
        entry.name = names[entry.name.decode()]
        tensors[entry.tensorIndex].name = entry.name


def _stamp(model: Any, provenance: str) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model.metadata = [entry for entry in model.metadata or [] if entry.name in KEPT_METADATA]
    stamp, text = schema.MetadataT(), schema.BufferT()
    stamp.name, stamp.buffer = "edgepress", len(model.buffers)
    text.data = provenance.encode()
    model.metadata.append(stamp)
    model.buffers.append(text)


def _align(model: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    class AlignedBuffer(schema.BufferT):  # type: ignore[misc]  # the package ships no types
        """A buffer that pads the file so that its data, written next, starts at a multiple of ALIGNMENT."""

        def Pack(self, builder: Any) -> Any:
            if self.data is not None:
                builder.Prep(ALIGNMENT, len(self.data))
            return super().Pack(builder)

    for buffer in model.buffers:
        buffer.__class__ = AlignedBuffer
        if buffer.data is not None:  # only arrays are packed at once, other sequences byte by byte
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
