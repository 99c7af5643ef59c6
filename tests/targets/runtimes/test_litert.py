import warnings

import numpy as np
import pytest
import torch

from targets.runtimes.litert import LiteRt


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(8, 3)

    def forward(self, x, token):
        return self.table(token) + x, x.sum()


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return Tiny().eval()


@pytest.fixture(scope="module")
def path(module, tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own
        import litert_torch

        sample = {"x": torch.zeros(1, 3), "token": torch.zeros(1, dtype=torch.int64)}
        converted = litert_torch.convert(module, sample_kwargs=sample)
    target = tmp_path_factory.mktemp("litert") / "tiny.tflite"
    converted.export(str(target))
    return target


@pytest.fixture
def predict(path):
    return LiteRt().load([path], threads=1)


INPUTS = {"x": np.array([[1, 2, 4]], np.float32), "token": np.array([5])}


def test_named_arrays_in_named_arrays_out_and_int64_becomes_int32(predict, module):
    found = predict(INPUTS)
    with torch.no_grad():
        wanted, total = module(**{name: torch.from_numpy(array) for name, array in INPUTS.items()})
    one, other = (found[name] for name in sorted(found))
    np.testing.assert_allclose(one, wanted.numpy(), rtol=1e-6)  # one float32 addition
    np.testing.assert_allclose(other, total.numpy(), rtol=1e-6)
    assert predict.batch == 1


def test_outputs_belong_to_the_caller(predict):
    first = predict(INPUTS)
    kept = {name: array.copy() for name, array in first.items()}
    predict({**INPUTS, "x": INPUTS["x"] + 1})
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": np.zeros((1, 3))}, "input 'x': expected float32 (1, 3), found float64 (1, 3)"),
        ({"x": np.zeros((1, 4), np.float32)}, "input 'x': expected float32 (1, 3), found float32 (1, 4)"),
        ({"token": np.zeros(1, np.float32)}, "input 'token': expected int32 (1), found float32 (1)"),
        ({"z": np.zeros(1)}, "inputs: expected token, x; found token, x, z"),
    ],
)
def test_wrong_inputs_are_named(predict, change, words):
    with pytest.raises(ValueError) as error:
        predict({**INPUTS, **change})
    assert str(error.value) == f"{predict.file}: {words}"


def test_a_wrong_name_is_named(predict):
    with pytest.raises(ValueError, match="expected token, x; found token, y"):
        predict({"y": INPUTS["x"], "token": INPUTS["token"]})
