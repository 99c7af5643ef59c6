"""What every reader finds in the files of its own format, with the runtime that runs them."""

from __future__ import annotations

import pkgutil
import re
from typing import Any

import numpy as np
import pytest

from pipeline import anatomy
from pipeline.anatomy._parts import joined, reader
from pipeline.anatomy._summary import summary
from pipeline.sensitivity import of_parts
from reports.findings import findings
from reports.record import Record
from targets.runtimes._base import find as runtime_named

READERS = sorted(each.name.rstrip("_") for each in pkgutil.iter_modules(anatomy.__path__) if not each.name.startswith("_"))
WEIGHTS = (8 * 9, 16 * 8 * 9, 64 * 10)
"""Of the convolutions and the linear layer, in order."""


def looked(exported: Any, form: str, name: str, int8: bool = False) -> Any:
    """The operators, with what the runtime's profiler says where it has one."""
    files = exported(form, name, int8).files
    sample = {"image": np.zeros((1, 1, 8, 8), np.float32)}
    parts, ran = reader(form).read(files), reader(form).profile(files, sample, 1)
    return parts if isinstance(ran, str) else joined(parts, ran)


@pytest.mark.parametrize("form", READERS)
def test_every_weight_is_found_once_as_it_is_stored(form: str, exported: Any) -> None:
    for int8, stored, width in ((False, "float32", 4), (True, "int8", 1)):
        parts = [part for part in looked(exported, form, "cnn", int8) if part.weights]
        weights = [weight for part in parts for weight in part.weights]
        assert sorted(weight.values.size for weight in weights) == sorted(WEIGHTS)
        assert {weight.stored for weight in weights} == {stored}
        assert {part.computed for part in parts} == {stored}, "both kinds of products have kernels for convolutions"
        assert sum(part.bytes for part in parts) >= sum(WEIGHTS) * width


@pytest.mark.parametrize("form", READERS)
def test_constants_and_tables_are_less_than_the_file_and_joining_loses_none(form: str, exported: Any) -> None:
    for name, int8 in (("cnn", False), ("cnn", True), ("gru", True)):
        files = exported(form, name, int8).files
        before, after = reader(form).read(files), looked(exported, form, name, int8)
        for size in ("bytes", "tables"):
            assert sum(getattr(part, size) for part in before) == sum(getattr(part, size) for part in after)
        found = summary(after, {})
        assert 0 < found.constants + found.tables < sum(path.stat().st_size for path in files)
        assert (found.tables > 0) == int8
        assert sum(kind.count for kind in found.kinds) == found.operators == len(after)
        assert sum(kind.bytes for kind in found.kinds) == found.constants + found.tables


@pytest.mark.parametrize("form", READERS)
def test_pruned_weights_are_counted_as_zeros_in_floats_and_in_codes(form: str, exported: Any) -> None:
    for int8 in (False, True):
        weights = [weight for part in looked(exported, form, "sparse", int8) for weight in part.weights]
        share = sum(weight.zeros for weight in weights) / sum(weight.values.size for weight in weights)
        assert 0.9 < share < 0.97, (form, int8)


@pytest.mark.parametrize(("form", "computed"), [("onnx", {"float32"}), ("openvino", {"float32"}), ("tflite", {"int8"})])
def test_an_int8_gru_is_stored_in_int8_and_what_it_computes_in_is_the_runtimes_word(
    form: str, computed: set[str], exported: Any
) -> None:
    parts = [part for part in looked(exported, form, "gru", int8=True) if sum(w.values.size for w in part.weights) >= 3 * 32 * 8]
    assert {weight.stored for part in parts for weight in part.weights} == {"int8"}
    assert {part.computed for part in parts} == computed


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_the_profilers_rows_are_the_files_operators_and_their_shares_add_up(form: str, exported: Any) -> None:
    for name, int8 in (("cnn", False), ("cnn", True), ("gru", True)):
        written = {part.name for part in reader(form).read(exported(form, name, int8).files)}
        parts = looked(exported, form, name, int8)
        assert all(part.name in written and part.milliseconds is not None for part in parts if part.weights)
        found = summary(parts, {}, most=None)
        assert sum(layer.time or 0 for layer in found.layers) == pytest.approx(1)
        assert sum(kind.time or 0 for kind in found.kinds) == pytest.approx(1)
        assert found.operators_ms == pytest.approx(sum(part.milliseconds or 0 for part in parts))


def test_litert_says_why_there_is_no_time(exported: Any) -> None:
    why = reader("tflite").profile(exported("tflite", "cnn").files, {}, 1)
    assert "no profiler" in why


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_the_smallest_graph_runs_in_the_runtime_it_is_for(form: str, tmp_path: Any) -> None:
    predict = runtime_named(reader(form).RUNTIME).load(reader(form).smallest(tmp_path), 1)
    (answer,) = predict({"x": np.full((1, 1), -3, np.float32)}).values()
    assert answer.tolist() == [[0.0]]


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("int8", [False, True])
def test_sensitivities_find_their_layer_whatever_the_format_did_to_the_weights(form: str, int8: bool, exported: Any) -> None:
    """BatchNorm is folded, channels are turned, numbers are codes: the names are gone, and a wrong match is worse than none."""
    module = exported(form, "cnn", int8).module
    parameters = {name: each.detach().numpy() for name, each in module.named_parameters() if each.dim() > 1}
    sensitive = {name: float(array.size) for name, array in parameters.items()}
    parts = looked(exported, form, "cnn", int8)
    found = of_parts(parts, sensitive, parameters)
    assert found == {part.name: float(part.weights[0].values.size) for part in parts if part.weights}


def test_tensors_of_one_size_are_told_apart_by_what_is_in_them(exported: Any) -> None:
    from pipeline.anatomy._parts import Part, weight

    random = np.random.default_rng(0)
    a, b = random.normal(size=(32, 32)).astype(np.float32), random.uniform(-1, 1, size=(32, 32)).astype(np.float32)
    scale = np.abs(a).max(axis=1, keepdims=True) / 7
    codes = weight(np.rint(a / scale).astype(np.int8).T, "int4")
    assert codes is not None
    assert of_parts([Part("x", "MatMul", weights=(codes,))], {"a": 1.0, "b": 2.0}, {"a": a, "b": b}) == {"x": 1.0}
    other = weight(random.exponential(size=(32, 32)).astype(np.float32), "float32")
    assert other is not None
    assert of_parts([Part("x", "MatMul", weights=(other,))], {"a": 1.0, "b": 2.0}, {"a": a, "b": b}) == {}


@pytest.mark.parametrize(("form", "said"), [("onnx", "2 Conv and 1 Gemm"), ("openvino", "2 Convolution and 1 MatMul")])
def test_a_pruned_file_is_said_to_have_no_sparse_kernel_with_its_operators_named(form: str, said: str, exported: Any) -> None:
    assert re.search(
        f"^no sparse kernel: {said} read dense float32 weights that are 9[1-6] % zeros$", told(exported, form, "sparse"), re.M
    )
    assert "no sparse kernel" not in told(exported, form, "cnn")


@pytest.mark.parametrize(("form", "said"), [("onnx", "1 GRU computes"), ("openvino", "1 GRUSequence computes")])
def test_an_int8_gru_is_said_to_compute_in_float_where_it_does(form: str, said: str, exported: Any) -> None:
    expected = f"dequantized before use: {said} in float32 with recurrent weights stored as int8"
    assert expected in told(exported, form, "gru", int8=True)
    assert "dequantized" not in told(exported, form, "cnn", int8=True)


def test_litert_s_int8_gru_is_not_said_to_compute_in_float(exported: Any) -> None:
    assert "dequantized" not in told(exported, "tflite", "gru", int8=True)


def told(exported: Any, form: str, name: str, int8: bool = False) -> str:
    """All findings of a file."""
    steps: list[Any] = [{"technique": "quantize_static", "options": {}}] if int8 else []
    found = summary(looked(exported, form, name, int8), {})
    record = Record("m", "d", "v", steps, form, reader(form).RUNTIME, "cpu", "measured", "ok", anatomy=found)
    return "\n".join(each.sentence for each in findings(record, None))
