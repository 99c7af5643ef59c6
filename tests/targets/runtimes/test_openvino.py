import numpy as np
import pytest

from targets.runtimes._openvino import library
from targets.runtimes.openvino_ import OpenVino

openvino = library()


@pytest.fixture
def load(onnx_file):
    def build(batch=1):
        path = onnx_file(batch).with_suffix(".xml")
        openvino.save_model(openvino.Core().read_model(path.with_suffix(".onnx")), path, compress_to_fp16=False)
        return OpenVino().load([path, path.with_suffix(".bin")], threads=1)

    return build


def test_named_arrays_in_named_arrays_out(load, inputs):
    found = load()(inputs)
    # x = 1 2 3 4 times the weights 0.0 0.1 … 1.1, plus the step 5; float32 sums of four products
    np.testing.assert_allclose(found["y"], [[11, 12, 13]], rtol=1e-6)
    np.testing.assert_allclose(found["largest"], 13, rtol=1e-6)


def test_an_open_batch_changes_from_call_to_call(load, inputs):
    many = load("n")
    assert (load().batch, many.batch) == (1, None)
    for batch in (3, 1, 7):
        x = np.random.default_rng(batch).random((batch, 4), np.float32)
        one_by_one = [load()({**inputs, "x": row[None]})["y"] for row in x]
        np.testing.assert_allclose(many({**inputs, "x": x})["y"], np.concatenate(one_by_one), rtol=1e-6)


def test_outputs_belong_to_the_caller(load, inputs):
    predict = load()
    first = predict(inputs)["y"]
    kept = first.copy()
    predict({**inputs, "step": np.array([6])})
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("batch", "change", "words"),
    [
        (1, {"x": np.zeros((1, 4))}, "input 'x': expected float32 (1, 4), found float64 (1, 4)"),
        (1, {"x": np.zeros((1, 1), np.float32)}, "input 'x': expected float32 (1, 4), found float32 (1, 1)"),
        ("n", {"x": np.zeros((2, 5), np.float32)}, "input 'x': expected float32 (any, 4), found float32 (2, 5)"),
        (1, {"z": np.zeros(1)}, "inputs: expected step, x; found step, x, z"),
    ],
)
def test_wrong_inputs_are_named(load, inputs, batch, change, words):
    with pytest.raises(ValueError) as error:
        load(batch)({**inputs, **change})
    assert str(error.value) == f"tiny.xml: {words}"


def test_a_wrong_name_is_named(load, inputs):
    with pytest.raises(ValueError, match="expected step, x; found step, y"):
        load()({"y": inputs["x"], "step": inputs["step"]})
