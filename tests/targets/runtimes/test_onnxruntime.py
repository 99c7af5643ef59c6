import numpy as np
import pytest

from targets.runtimes.onnxruntime_ import OnnxRuntime


@pytest.fixture
def predict(onnx_file):
    return OnnxRuntime().load([onnx_file()], threads=1)


def test_named_arrays_in_named_arrays_out(predict, inputs):
    found = predict(inputs)
    # x = 1 2 3 4 times the weights 0.0 0.1 … 1.1, plus the step 5; float32 sums of four products
    np.testing.assert_allclose(found["y"], [[11, 12, 13]], rtol=1e-6)
    np.testing.assert_allclose(found["largest"], 13, rtol=1e-6)


def test_batch(onnx_file, predict, inputs):
    assert predict.batch == 1
    many = OnnxRuntime().load([onnx_file(batch="n")], threads=1)
    assert many.batch is None
    assert many({**inputs, "x": np.repeat(inputs["x"], 7, axis=0)})["y"].shape == (7, 3)


def test_outputs_belong_to_the_caller(predict, inputs):
    first = predict(inputs)["y"]
    kept = first.copy()
    predict({**inputs, "step": np.array([6])})
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": np.zeros((1, 4))}, "input 'x': expected float32 (1, 4), found float64 (1, 4)"),
        ({"x": np.zeros((1, 5), np.float32)}, "input 'x': expected float32 (1, 4), found float32 (1, 5)"),
        ({"z": np.zeros(1)}, "inputs: expected step, x; found step, x, z"),
    ],
)
def test_wrong_inputs_are_named(predict, inputs, change, words):
    with pytest.raises(ValueError) as error:
        predict({**inputs, **change})
    assert str(error.value) == f"{predict.file}: {words}"


def test_a_missing_input_is_named(predict, inputs):
    with pytest.raises(ValueError, match="expected step, x; found x"):
        predict({"x": inputs["x"]})
