import logging
import os
import sys

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core import Graph, Precision, TensorSpec
from pipeline.errors import UserError
from pipeline.export._common import calibration_samples
from pipeline.export._quiet import quiet
from pipeline.export._trace import examples, exportable, run


class Returns(nn.Module):
    """Returns whatever it is told to, made from its input."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


def _graph(make, outputs=("a", "b"), shape=(1, 2)):
    return Graph(Returns(make), {"x": TensorSpec(shape)}, outputs)


X = {"x": np.array([[1.0, 2.0]], np.float32)}


@pytest.mark.parametrize("make", [lambda x: (x, -x), lambda x: [x, -x], lambda x: {"b": -x, "a": x}])
def test_outputs_are_named_in_declared_order(make):
    found = run(_graph(make), X)
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["b"], -X["x"])


def test_a_single_tensor_is_the_only_output():
    assert set(run(_graph(lambda x: x + 1, outputs=("y",)), X)) == {"y"}


def test_inputs_are_given_in_declared_order():
    class Minus(nn.Module):
        def forward(self, first, second):
            return first - second

    graph = Graph(Minus(), {"p": TensorSpec((1,)), "q": TensorSpec((1,))}, ("y",))
    assert run(graph, {"q": np.ones(1, np.float32), "p": np.full(1, 3, np.float32)})["y"] == 2


def test_the_module_runs_in_evaluation_mode_without_gradients():
    graph = Graph(nn.Dropout(0.9).train(), {"x": TensorSpec((1, 2))}, ("y",))
    np.testing.assert_array_equal(run(graph, X)["y"], X["x"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: x, "module Returns declares outputs 'a', 'b' but returns 1 output$"),
        (lambda x: (x, x, x), "but returns 3 outputs"),
        (lambda x: {"a": x, "c": x}, "but returns 'a', 'c'"),
        (lambda x: (x, 3), "returns a int for output 'b'"),
        (lambda x: x @ x, r"does not accept its declared inputs \(x: float32 \[1, 2\]\): RuntimeError: mat1"),
        (lambda x: x.missing, "AttributeError"),
        (lambda x: {}["key"], "KeyError"),
    ],
)
def test_a_module_that_misbehaves_is_said_in_one_line(make, message):
    with pytest.raises(UserError, match=message) as caught:
        run(_graph(make), X)
    assert "\n" not in str(caught.value)


def test_a_module_with_another_number_of_inputs_is_said_in_one_line():
    graph = Graph(nn.Linear(2, 2), {"x": TensorSpec((1, 2)), "y": TensorSpec((1, 2))}, ("z",))
    with pytest.raises(UserError, match="TypeError"):
        exportable(graph)


def test_an_unknown_type_is_said_in_one_line():
    with pytest.raises(UserError, match=r"graph input 'x' is declared as flaot32 \(1,\)"):
        examples(Graph(nn.Identity(), {"x": TensorSpec((1,), "flaot32")}, ("y",)))


def test_calibration_takes_as_many_samples_as_the_precision_says_and_only_the_inputs():
    samples = [{"x": np.ones((1, 2)), "label": np.ones(1)}] * 5
    found = calibration_samples(_graph(abs), Precision("static", calibration_samples=3), samples)
    assert len(found) == 3 and set(found[0]) == {"x"} and found[0]["x"].dtype == np.float32


@pytest.mark.parametrize(("sample", "message"), [({"y": np.ones(1)}, "lacks"), ({"x": np.ones((2, 2))}, r"has shape \[2, 2\]")])
def test_a_calibration_sample_that_does_not_fit_is_refused(sample, message):
    with pytest.raises(UserError, match=message):
        calibration_samples(_graph(abs), Precision("static"), [sample])


def test_quiet_holds_back_what_every_layer_prints(capfd):
    with quiet():
        print("python")
        os.write(1, b"native")
        os.write(2, b"native error")
        logging.warning("root")
    assert capfd.readouterr() == ("", "")
    assert not any(type(handler) is logging.StreamHandler for handler in logging.root.handlers)


def test_quiet_gives_the_terminal_back_and_keeps_the_chatter_when_the_block_fails(capfd):
    with pytest.raises(ValueError, match="boom") as caught, quiet():
        os.write(1, b"what led to it")
        raise ValueError("boom")
    assert caught.value.__notes__ == ["what led to it"]
    os.write(1, b"again")
    sys.stdout.flush()
    assert capfd.readouterr().out == "again"


def test_an_interrupt_gives_the_terminal_back(capfd):
    with pytest.raises(KeyboardInterrupt), quiet():
        raise KeyboardInterrupt
    os.write(1, b"again")
    assert capfd.readouterr().out == "again"


def test_torch_modules_on_which_nothing_depends_are_left_as_they_were():
    module = nn.Linear(2, 2)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    exportable(Graph(module, {"x": TensorSpec((1, 2))}, ("y",)))
    assert list(module.state_dict()) == list(before)
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())
