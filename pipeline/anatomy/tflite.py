"""A .tflite file: its operators and tensors through the flatbuffer's schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.anatomy._parts import Part, Ran, Weight, packed_part, signed, unpacked, weight
from pipeline.core import Array, Arrays
from targets.runtimes._kernels import OPERATOR

RUNTIME = "litert"
PACKED = OPERATOR.decode()
"""The operator that is a network of +-1."""
TYPES = {"FLOAT32": "float32", "FLOAT16": "float16", "FLOAT64": "float64", "BOOL": "bool"} | {
    f"{kind}{bits}": f"{kind.lower()}{bits}" for kind in ("INT", "UINT") for bits in (2, 4, 8, 16, 32, 64)
}
EDGES = ("DEQUANTIZE", "DENSIFY", "CAST")
"""Operators that only restore a constant for those that read it."""


def read(files: list[Path]) -> list[Part]:
    """The operators of all subgraphs, each with the constant tensors that it is the first to read."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(files[0]))
    taken = set[int]()
    return [
        part
        for index, subgraph in enumerate(model.subgraphs)
        for part in _Subgraph(model, subgraph, f"{index}:" if index else "", taken).parts()
    ]


class _Subgraph:
    """One subgraph while it is read; a buffer that several tensors share counts once."""

    def __init__(self, model: Any, subgraph: Any, prefix: str, taken: set[int]) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.model, self.subgraph, self.prefix, self.taken = model, subgraph, prefix, taken
        self.operators = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        self.types = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
        self.restored: dict[int, int] = {}
        """Tensors that a constant was restored into, and the constant."""

    def parts(self) -> list[Part]:
        found = []
        for index, operator in enumerate(self.subgraph.operators):
            code = self.model.operatorCodes[operator.opcodeIndex]
            builtin = self.operators[max(code.builtinCode, code.deprecatedBuiltinCode)]
            kind = code.customCode.decode() if code.customCode else builtin
            inputs = [each for each in ([] if operator.inputs is None else operator.inputs) if each >= 0]
            if kind in EDGES and self._constant(inputs[0]):
                self.restored[operator.outputs[0]] = self.restored.get(inputs[0], inputs[0])
                continue
            found.append(self._part(f"{self.prefix}{kind.lower()}_{index}", kind, inputs))
        return found

    def _part(self, name: str, kind: str, inputs: list[int]) -> Part:
        constants = [each for each in inputs if self._constant(each)]
        if kind == PACKED:
            return packed_part(name, kind, bytes(self.model.buffers[self.subgraph.tensors[constants[0]].buffer].data))
        fresh = []
        for tensor in (self.subgraph.tensors[self.restored.get(each, each)] for each in constants):
            if tensor.buffer not in self.taken:
                self.taken.add(tensor.buffer)
                fresh.append(tensor)
        weights = (self._weight(tensor) for tensor in fresh)
        return Part(
            name,
            kind,
            sum(len(self.model.buffers[tensor.buffer].data) for tensor in fresh),
            sum(_table(tensor) for tensor in fresh),
            tuple(each for each in weights if each),
            self._computed(inputs, constants),
        )

    def _constant(self, index: int) -> bool:
        data = self.model.buffers[self.subgraph.tensors[self.restored.get(index, index)].buffer].data
        return data is not None and len(data) > 0

    def _computed(self, inputs: list[int], constants: list[int]) -> str | None:
        """Of float operands with weights in codes LiteRT quantizes the operand and multiplies in int8 ("dynamic range")."""
        given = [self._type(each) for each in inputs if each not in constants] or [self._type(each) for each in inputs]
        codes = [self._type(each) for each in constants if each not in self.restored]
        if given and given[0] == "float32" and any(each in ("int8", "int4", "int2") for each in codes):
            return "int8"
        return given[0] if given else None

    def _type(self, index: int) -> str:
        return TYPES.get(self.types[self.subgraph.tensors[index].type], "other")

    def _weight(self, tensor: Any) -> Weight | None:
        stored, data = TYPES.get(self.types[tensor.type], "other"), self.model.buffers[tensor.buffer].data
        shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
        if stored == "other" or tensor.sparsity is not None:
            return weight(np.frombuffer(bytes(data), np.uint8).reshape(1, -1), f"sparse {stored}") if len(shape) > 1 else None
        return weight(_values(data, stored, shape), stored, _zero(tensor, len(shape)))


def _values(data: Any, stored: str, shape: list[int]) -> Array:
    if stored in ("int4", "int2"):
        bits = int(stored[-1])
        return signed(unpacked(data, bits, int(np.prod(shape))), bits).reshape(shape)
    return np.frombuffer(bytes(data), stored).reshape(shape)


def _zero(tensor: Any, dimensions: int) -> Array | int:
    points = None if tensor.quantization is None else tensor.quantization.zeroPoint
    if points is None or not len(points) or not np.any(points):
        return 0
    shape = [-1 if axis == tensor.quantization.quantizedDimension else 1 for axis in range(dimensions)]
    return np.asarray(points).reshape(shape if len(points) > 1 else [1] * dimensions)


def _table(tensor: Any) -> int:
    """Bytes of a tensor's scales (float32) and zero points (int64)."""
    found = tensor.quantization
    return sum(width * len(each) for width, each in ((4, found.scale), (8, found.zeroPoint)) if each is not None) if found else 0


def profile(files: list[Path], inputs: Arrays, threads: int) -> list[Ran] | str:
    """Nothing: the profiler is not part of what LiteRT's Python interpreter offers."""
    return "LiteRT's Python interpreter has no profiler"


def smallest(folder: Path) -> list[Path] | None:
    """None: no such file is at hand without the converter."""
    return None
