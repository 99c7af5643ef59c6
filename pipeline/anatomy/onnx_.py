"""An .onnx file, and what ONNX Runtime makes of it: its optimized graph and its own profiler."""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from pipeline.anatomy._parts import Part, Ran, Weight, packed_part, unpacked, weight
from pipeline.core import Array, Arrays
from targets.runtimes._kernels import OPERATORS
from targets.runtimes.onnxruntime_ import register

RUNTIME = "onnxruntime"
PACKED = OPERATORS.decode()
"""The domain of the operator whose attribute is a network of +-1."""
CALLS, COLD = 30, 5
"""Calls that are profiled, and how many of the first do not count."""
RESTORES = ("Mul", "Sub")
"""Of codes and a constant: their scale, their zero point."""
SCALED = ("QuantizeLinear", "DequantizeLinear")
QUANTIZES_INSIDE = ("DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QAttention")
"""Operators with float inputs that multiply in int8: they quantize what they are given."""
BLOCKED = {"MatMulNBits": ("K", "N"), "GatherBlockQuantized": None}
"""Operators whose weights are packed codes of a few bits, a scale a block."""
TYPES = {"float": "float32", "double": "float64"}
COMPUTED = {**TYPES, "uint8": "int8"}
"""One name for multiplying bytes, whatever their sign."""
FUSED = 4
"""Operators at most that are done in one with the one before them."""
RENAMED = re.compile(r"^fused |_token_\d+$|_nchwc$|/MatMulAddFusion$|_transpose_optimizer$")
"""What the runtime's optimizations do to the names of the operators that they replace."""


def read(files: list[Path]) -> list[Part]:
    """The operators, each with the initializers that it is the first to read, directly or through constant expressions."""
    import onnx

    graph = onnx.load(files[0]).graph
    sources: dict[str, tuple[str, ...]] = {tensor.name: (tensor.name,) for tensor in graph.initializer}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    zeros, tables = dict[str, str](), set[str]()
    parts, taken = list[Part](), set[str]()
    for index, node in enumerate(graph.node):
        inputs = [name for name in node.input if name]
        if node.op_type in SCALED:
            tables.update(name for name in inputs[1:] if name in constants)
            if len(inputs) > 2 and inputs[0] in constants:
                zeros[inputs[0]] = inputs[2]
        if inputs and all(name in sources for name in inputs):  # a constant expression: part of what reads it
            sources.update(dict.fromkeys(node.output, tuple(each for name in inputs for each in sources[name])))
            if node.op_type in RESTORES and _codes(constants, sources[inputs[0]]):
                tables.update(name for name in inputs[1:] if name in constants)
            continue
        mine = [each for name in inputs for each in sources.get(name, ())]
        fresh = [name for name in dict.fromkeys(mine) if name not in taken]
        taken.update(fresh)
        parts.append(_part(node, index, fresh, constants, zeros, tables))
    return parts


def _part(node: Any, index: int, names: list[str], constants: dict[str, Any], zeros: dict[str, str], tables: set[str]) -> Part:
    if node.domain == PACKED:
        return packed_part(node.name or f"{node.op_type}_{index}", node.op_type, node.attribute[0].s)
    beside = [name for name in names if name in tables or (node.op_type in BLOCKED and name in list(node.input)[2:])]
    weights = [_weight(constants, zeros, node, name) for name in names if name not in beside]
    return Part(
        node.name or f"{node.op_type}_{index}",
        node.op_type,
        sum(_bytes(constants[name]) for name in names if name not in beside),
        sum(_bytes(constants[name]) for name in beside),
        tuple(each for each in weights if each),
    )


def _codes(constants: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Whether the first of some initializers holds integers of at most eight bits."""
    import onnx

    return bool(names) and onnx.TensorProto.DataType.Name(constants[names[0]].data_type).endswith(("INT8", "INT4", "INT2"))


def _weight(constants: dict[str, Any], zeros: dict[str, str], node: Any, name: str) -> Weight | None:
    import onnx
    from onnx import numpy_helper

    if name not in constants:
        return None
    tensor = constants[name]
    stored = TYPES.get(kind := onnx.TensorProto.DataType.Name(tensor.data_type).lower(), kind)
    values: Array = numpy_helper.to_array(tensor)
    if node.op_type in BLOCKED:
        return _blocked(node, values) if name == node.input[0 if node.op_type.startswith("Gather") else 1] else None
    zero: Array = np.asarray(numpy_helper.to_array(constants[zeros[name]])) if zeros.get(name) in constants else np.array(0)
    if stored in ("int4", "uint4"):
        values, zero = values.astype(np.int8), zero.astype(np.int8)
    if zero.ndim == 1 and zero.size > 1:  # one a slice of the first dimension that has as many
        axis = next((axis for axis, size in enumerate(values.shape) if size == zero.size), None)
        shape = [-1 if place == axis else 1 for place in range(values.ndim)]
        zero = zero.reshape(shape) if axis is not None else zero[:1]
    return weight(values, stored, zero if zero.ndim <= values.ndim else 0)


def _blocked(node: Any, packed: Array) -> Weight | None:
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    bits = attributes.get("bits", 4)
    codes = packed.view(np.uint8) if bits == 8 else unpacked(packed.tobytes(), bits, packed.nbytes * 8 // bits)
    rows = attributes.get("N") or packed.shape[0]
    return weight(codes.reshape(rows, -1), f"int{bits}", 1 << (bits - 1))


def _bytes(tensor: Any) -> int:
    from onnx import numpy_helper

    return len(tensor.raw_data) or numpy_helper.to_array(tensor).nbytes


def profile(files: list[Path], inputs: Arrays, threads: int) -> list[Ran] | str:
    """What a session of its own says: the same options as the one that is timed, and the profiler on."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        register(options, files[0].read_bytes())
        session = onnxruntime.InferenceSession(str(files[0]), options, providers=["CPUExecutionProvider"])
        for _ in range(COLD + CALLS):
            session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text())
        optimized = onnx.load(options.optimized_model_filepath, load_external_data=False).graph
    names = _Names(onnx.load(files[0]).graph)
    return list(_ran(events, {node.name: node for node in optimized.node}, names))


class _Names:
    """Which operators of the file one of the optimized graph is: by its name, by what it writes, by what it reads."""

    def __init__(self, graph: Any) -> None:
        self.nodes = {node.name: node for node in graph.node if node.name}
        self.writers = {name: node.name for node in graph.node for name in node.output if node.name}
        self.readers: dict[str, str] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, node.name)

    def of(self, node: Any) -> tuple[str, ...]:
        """The operator itself last, those that were fused with it before."""
        plain = node.name
        while (shorter := RENAMED.sub("", plain)) != plain:
            plain = shorter
        for name in (node.name, plain):
            if found := name if name in self.nodes else self.writers.get(name):
                return self._fused(found, node.op_type)
        written = [self.writers[name] for name in node.output if name in self.writers]
        read = [self.readers[name] for name in node.input if name in self.readers and name not in self.writers]
        return self._fused(written[0], node.op_type) if written else tuple(read[:1])

    def _fused(self, name: str, kind: str) -> tuple[str, ...]:
        """A convolution is named after the activation that it swallowed: back to what it is (`Conv` of a `QLinearConv`)."""
        path = [name]
        while len(path) <= FUSED and (node := self.nodes.get(path[-1])) is not None:
            if node.op_type in kind:
                return tuple(path)
            before = self.writers.get(node.input[0]) if node.input else None
            if before is None:
                break
            path.append(before)
        return (name,)


def _ran(events: list[Any], nodes: dict[str, Any], names: _Names) -> Iterator[Ran]:
    times, facts = defaultdict[str, list[float]](list), dict[str, Any]()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times[name].append(event["dur"] / 1e3)
            facts[name] = event["args"]
    for name, found in times.items():
        often = len(found) / (COLD + CALLS)  # the body of a loop runs several times a call
        kind = facts[name]["op_name"]
        milliseconds = median(found[int(COLD * often) :]) * often
        yield Ran(
            name,
            kind,
            names.of(nodes[name]) if name in nodes else (),
            _computed(kind, nodes.get(name), facts[name]),
            milliseconds,
        )


def _computed(kind: str, node: Any, facts: Any) -> str | None:
    """By the type of what it is given."""
    if kind == "Packed":
        return "int1"
    if kind in QUANTIZES_INSIDE or (kind == "MatMulNBits" and _accuracy(node) == 4):
        return "int8"
    given = next((name for shape in facts.get("input_type_shape", ()) for name in shape), None)
    return COMPUTED.get(given, given) if given else None


def _accuracy(node: Any) -> int:
    return next((int(each.i) for each in node.attribute if each.name == "accuracy_level"), 0) if node is not None else 0


def smallest(folder: Path) -> list[Path] | None:
    """One Relu of one number."""
    import onnx
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "smallest", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "smallest.onnx")
    return [folder / "smallest.onnx"]
