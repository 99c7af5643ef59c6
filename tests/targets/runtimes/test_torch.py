import numpy as np
import pytest
import torch

from pipeline.core import Domain, Facts, Model, Spec, TensorSpec
from pipeline.model_file import save
from targets.runtimes.torch_ import Torch

FAMILY = '''
from typing import final

import torch

from pipeline.core import Graph


@final
class Tiny:
    """Two outputs, one of them a step's."""

    def build(self, domain):
        return torch.nn.ModuleDict({"deployed": torch.nn.Linear(4, 3), "only_for_training": torch.nn.Linear(4, 9)})

    def graphs(self, module, domain):
        first, second = module["deployed"], module["only_for_training"]
        return {"first": Graph(first, domain.inputs, ("y",)), "second": Graph(second, domain.inputs, ("z",))}
'''


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text(FAMILY)
    family, domain = Spec("model", str(path)), Domain("none", {"x": TensorSpec((1, 4))}, 3)
    return Model(family, domain, family.build().build(domain), Facts(parameters=15, macs=12))


@pytest.fixture
def predict(model, tmp_path):
    return Torch().load(save(model, tmp_path / "saved"), threads=1)


def test_the_first_graph_runs_with_the_stored_weights(model, predict):
    x = np.random.default_rng(0).random((5, 4), np.float32)
    with torch.no_grad():
        wanted = model.module["deployed"](torch.from_numpy(x)).numpy()
    found = predict({"x": x})
    assert list(found) == ["y"]
    np.testing.assert_array_equal(found["y"], wanted)
    assert predict.batch is None


def test_arrays_that_are_read_only_or_reversed_are_taken(predict):
    x = np.ones((2, 4), np.float32)
    x.flags.writeable = False
    assert predict({"x": x[::-1]})["y"].shape == (2, 3)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"x": np.zeros((1, 4))}, "input 'x': expected float32 (any, 4), found float64 (1, 4)"),
        ({"x": np.zeros((1, 2, 4), np.float32)}, "input 'x': expected float32 (any, 4), found float32 (1, 2, 4)"),
        ({}, "inputs: expected x; found none"),
    ],
)
def test_wrong_inputs_are_named(predict, inputs, words):
    with pytest.raises(ValueError) as error:
        predict(inputs)
    assert str(error.value) == f"{predict.file}: {words}"
