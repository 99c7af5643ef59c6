"""edgepress.binary.Packed in LiteRT: the packed network's own numbers, and a line for a file that is none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, load_delegate
from ai_edge_litert.tools import flatbuffer_utils

from targets.kernels.build import library
from targets.kernels.layer import Shape
from targets.kernels.network import Floats, Network, Sign, write
from targets.runtimes._base import Unsupported
from targets.runtimes.litert import OPERATOR, LiteRt

RANDOM = np.random.default_rng(0)
SIZE = (24, 6, 5)


def network(size: tuple[int, int, int] = SIZE) -> bytes:
    """One layer that keeps the shape."""
    shape = Shape(*size, outputs=size[0], kernel=(3, 3), pad=(1, 1))
    first = Sign(size, RANDOM.normal(size=size[0]).astype(np.float32), RANDOM.random(size[0]) > 0.5)
    weights = RANDOM.integers(0, 256, shape.taps).astype(np.uint8)
    return write([first, Floats(shape, weights, *RANDOM.normal(size=(2, size[0])).astype(np.float32))])


def tflite(files: Sequence[bytes], edges: Sequence[tuple[int, int]], batch: int = 1, **changes: Any) -> bytes:
    """A graph of packed networks: each reads and writes a tensor, of which the first is the input and the last the output."""
    model, graph, code = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT()
    model.version, model.buffers, model.operatorCodes, model.subgraphs = 3, [schema.BufferT()], [code], [graph]
    code.builtinCode, code.customCode, code.version = schema.BuiltinOperator.CUSTOM, OPERATOR, 1
    code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    graph.tensors, graph.operators = [], []

    def tensor(shape: Sequence[int], kind: int, data: bytes | None = None) -> int:
        made, buffer = schema.TensorT(), schema.BufferT()
        made.shape, made.type, made.name = list(shape), kind, str(len(graph.tensors)).encode()
        if data is not None:
            made.buffer, buffer.data = len(model.buffers), np.frombuffer(data, np.uint8)
            model.buffers.append(buffer)
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    # The constants come first, as a converter may have it: then they are first among a claimed node's inputs, too.
    constants = [tensor([len(file)], changes.get("kind", schema.TensorType.INT8), changes.get("data", file)) for file in files]
    most = max(max(edge) for edge in edges)
    floats = [tensor((batch, *changes.get("size", SIZE)), schema.TensorType.FLOAT32) for _ in range(most + 1)]
    for constant, (given, made) in zip(constants, edges, strict=True):
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, [floats[given], constant], [floats[made]]
        graph.operators.append(operator)
    graph.inputs, graph.outputs = [floats[0]], [floats[most]]
    model.signatureDefs = [signature := schema.SignatureDefT()]
    signature.signatureKey, signature.subgraphIndex, signature.inputs, signature.outputs = b"serving_default", 0, [], []
    for entries, name, index in ((signature.inputs, b"x", floats[0]), (signature.outputs, b"y", floats[most])):
        entries.append(entry := schema.TensorMapT())
        entry.name, entry.tensorIndex = name, index
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def loaded(content: bytes, folder: Path) -> Any:
    path = folder / "net.tflite"
    path.write_bytes(content)
    return LiteRt().load([path], threads=1)


@pytest.mark.parametrize("batch", [1, 3])
def test_it_computes_what_the_library_does(batch: int, tmp_path: Path) -> None:
    file = network()
    runs, alone = loaded(tflite([file], [(0, 1)], batch), tmp_path), Network(file)
    for _ in range(2):
        x = RANDOM.normal(size=(batch, *SIZE)).astype(np.float32)
        np.testing.assert_array_equal(runs({"x": x})["y"], alone(x))


def test_networks_that_read_one_another_each_have_their_memory(tmp_path: Path) -> None:
    files = [network() for _ in range(4)]
    runs = loaded(tflite(files, [(0, 1), (1, 2), (1, 3), (3, 4)]), tmp_path)
    x = RANDOM.normal(size=(1, *SIZE)).astype(np.float32)
    one, _, three, four = (Network(file) for file in files)
    for _ in range(2):
        np.testing.assert_array_equal(runs({"x": x})["y"], four(three(one(x))))


def test_a_resized_batch_and_interpreters_of_several_threads_share_one_delegate() -> None:
    file, delegate = network(), load_delegate(str(library()))
    alone, content = Network(file), tflite([file], [(0, 1)])
    inputs = [RANDOM.normal(size=(samples, *SIZE)).astype(np.float32) for samples in (1, 4, 2, 7) * 5]

    def run(x: np.ndarray) -> np.ndarray:
        interpreter = Interpreter(model_content=content, experimental_delegates=[delegate])
        (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(given["index"], x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, inputs))
    for x, y in zip(inputs, found, strict=True):
        np.testing.assert_array_equal(y, alone(x))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": network()[:-1] + b"!"}, "packed network of [0-9]+ bytes: it was damaged: its checksum is another"),
        ({"data": bytes(len(network()))}, "packed network of [0-9]+ bytes: it does not begin as one"),
        ({"data": None}, "packed network of [0-9]+ bytes: it is no constant"),
        ({"kind": schema.TensorType.UINT8}, "has other inputs or outputs than floats and a packed network"),
        ({"size": (24, 5, 6)}, "a packed network was given an input of another shape"),
        ({"size": (24, 6)}, "a packed network was given an input of another shape"),
    ],
)
def test_what_is_wrong_is_one_line_when_the_model_is_loaded(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^net\.tflite: .*{said}") as error:
        loaded(tflite([network()], [(0, 1)], **changes), tmp_path)
    assert "\n" not in str(error.value)


def test_without_a_compiler_or_our_kernels_the_reason_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = tflite([network()], [(0, 1)])
    monkeypatch.setenv("EDGEPRESS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match=r"^net\.tflite: the kernels need a C\+\+ compiler; found none of"):
        loaded(content, tmp_path)
    monkeypatch.setitem(sys.modules, "targets.kernels.build", None)
    with pytest.raises(Unsupported, match=r"^net\.tflite: its layers of \+-1 need our kernels, which were not sent along"):
        loaded(content, tmp_path)
