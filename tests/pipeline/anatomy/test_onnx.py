"""Files that our exporters may write one day, made by hand: what ONNX Runtime does with integers, whoever stored them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.anatomy import onnx_
from pipeline.anatomy._parts import coded_bytes, few_values, joined, weight
from pipeline.compress._binary import binarized

N, K = 32, 64
X = {"x": np.ones((1, K), np.float32)}


def saved(path: Path, nodes: list[Any], constants: dict[str, Any]) -> list[Path]:
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, K]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, N]),
    ]
    initializers = [
        each if isinstance(each, TensorProto) else numpy_helper.from_array(each, name) for name, each in constants.items()
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path / "made.onnx")
    return [path / "made.onnx"]


def looked(files: list[Path]) -> Any:
    ran = onnx_.profile(files, X, 1)
    assert not isinstance(ran, str)
    return {part.operator: part for part in joined(onnx_.read(files), ran)}


CODES = np.arange(N * K, dtype=np.int8).reshape(N, K)
RESTORED = {"s": np.ones(N, np.float32), "z": np.arange(N, dtype=np.int8)}


def test_weight_only_int8_of_a_convolution_is_computed_in_float(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["f"], name="restore", axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["image"], name="image"),
        helper.make_node("Conv", ["image", "f"], ["map"], name="product"),
        helper.make_node("Flatten", ["map"], ["y"], name="flat"),
    ]
    constants = {"w": CODES.reshape(N, K, 1, 1), **RESTORED, "shape": np.array([1, K, 1, 1])}
    product = looked(saved(tmp_path, nodes, constants))["Conv"]
    assert (product.name, product.computed, product.bytes, product.tables) == ("product", "float32", N * K, 5 * N)
    (found,) = product.weights
    assert found.stored == "int8" and found.zeros == int((np.arange(N)[:, None] == CODES).sum()), "zero is the zero point"


def test_onnx_runtime_makes_an_integer_product_of_a_restored_matrix_and_that_is_what_we_say(tmp_path: Path) -> None:
    """DequantizeLinear and MatMul become one MatMulNBits of accuracy level 4, which quantizes its input."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["f"], name="restore", axis=1),
        helper.make_node("MatMul", ["x", "f"], ["y"], name="product"),
    ]
    product = looked(saved(tmp_path, nodes, {"w": np.ascontiguousarray(CODES.T), **RESTORED}))["MatMul"]
    assert (product.computed, product.weights[0].stored, product.tables) == ("int8", "int8", 5 * N)


@pytest.mark.parametrize(("accuracy", "computed"), [(0, "float32"), (4, "int8")])
def test_blocks_of_four_bits_are_read_as_their_codes(accuracy: int, computed: str, tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 16, size=(N, K)).astype(np.uint8)
    packed = (codes[:, 0::2] | codes[:, 1::2] << 4).reshape(N, K // 32, 16)
    attributes = {"K": K, "N": N, "bits": 4, "block_size": 32, "accuracy_level": accuracy}
    node = helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], name="blocks", domain="com.microsoft", **attributes)
    part = looked(saved(tmp_path, [node], {"w": packed, "s": np.ones(N * K // 32, np.float32)}))["MatMulNBits"]
    assert (part.computed, part.bytes, part.tables) == (computed, N * K // 2, 4 * N * K // 32)
    (found,) = part.weights
    assert found.stored == "int4" and found.values.shape == (N, K) and found.zeros == int((codes == 8).sum())


def test_dynamic_quantization_computes_in_int8(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"], name="quantize"),
        helper.make_node("MatMulInteger", ["q", "w", "qz"], ["i"], name="product"),
        helper.make_node("Cast", ["i"], ["c"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["qs", "s"], ["scale"], name="scales"),
        helper.make_node("Mul", ["c", "scale"], ["y"], name="scaled"),
    ]
    parts = looked(saved(tmp_path, nodes, {"w": np.ones((K, N), np.int8), "s": np.array(0.5, np.float32)}))
    (holder,) = [part for part in parts.values() if part.weights]
    assert (holder.computed, holder.weights[0].stored) == ("int8", "int8"), parts


def test_a_weight_that_two_operators_read_counts_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("MatMul", ["x", "w"], ["b"], name="second"),
        helper.make_node("Add", ["a", "b"], ["y"], name="sum"),
    ]
    parts = {part.name: part for part in onnx_.read(saved(tmp_path, nodes, {"w": np.ones((K, N), np.float32)}))}
    assert (parts["first"].bytes, parts["second"].bytes) == (4 * N * K, 0)


def test_the_bytes_of_a_code_are_those_of_its_entropy() -> None:
    two = weight(np.tile(np.array([0.0, 1.0], np.float32), (32, 32)), "float32")
    many = weight(np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32), "float32")
    assert two is not None and many is not None
    assert coded_bytes(two) == pytest.approx(32 * 64 / 8 + 2 * 4) and few_values(two)
    assert coded_bytes(many) == 4 * 64 * 64 and not few_values(many)


def test_a_network_of_signs_shows_its_bits_and_its_time(tmp_path: Path) -> None:
    from torch import nn

    from pipeline.bench.kernels import exported

    layers = [binarized(nn.Conv2d(70, 70, 3, padding=1), "sign"), nn.ReLU(), binarized(nn.Conv2d(70, 6, 1), "sign")]
    files = exported("onnxruntime", nn.Sequential(*layers).eval(), (1, 70, 5, 5), None, tmp_path / "signs")
    ran = onnx_.profile(files, {"x": np.ones((1, 70, 5, 5), np.float32)}, 1)
    assert not isinstance(ran, str)
    (part,) = [part for part in joined(onnx_.read(files), ran) if part.operator == "Packed"]
    bits = 70 * 9 * 9 + 6 * 9  # nine bytes a tap, of 70 channels
    assert (part.bytes, [weight.values.shape for weight in part.weights]) == (bits, [(70, 3, 3, 70), (6, 1, 1, 70)])
    assert 0 < part.tables < 1000 and part.computed == "int1" and (part.milliseconds or 0) > 0
