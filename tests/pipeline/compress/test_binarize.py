"""Binarization: bits forwards, the stated gradient backwards, +-1 in what is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pipeline.compress import _binary as binary
from pipeline.compress.binarize import TIMES, Binarize
from pipeline.compress.quantize_static import QuantizeStatic
from pipeline.core import Context, Model, Outlook, Unsupported
from pipeline.errors import UserError

Build = Callable[..., Model]
STEP = 1e-6
"""Of a finite difference, in double precision: its error is of the order of the step."""


def layers(model: Model) -> list[binary.Binary]:
    return [layer for layer in model.module.modules() if isinstance(layer, binary.Binary)]


@pytest.mark.parametrize("estimator", ["sign", "polynomial"])
@given(places=st.lists(st.floats(-3, 3).filter(lambda x: min(abs(abs(x) - 1), abs(x)) > 1e-3), min_size=1, max_size=20))
def test_the_gradient_is_that_of_the_surrogate_and_the_value_a_sign(estimator: Any, places: list[float]) -> None:
    x = torch.tensor(places, dtype=torch.float64, requires_grad=True)
    value = binary.estimated(x, estimator)
    value.sum().backward()
    higher, lower = (binary.surrogate(x.detach() + side * STEP, estimator) for side in (1, -1))
    assert x.grad is not None
    torch.testing.assert_close(x.grad, (higher - lower) / (2 * STEP), atol=1e-5, rtol=0)
    assert value.tolist() == [1.0 if each >= 0 else -1.0 for each in places]


@pytest.mark.parametrize("estimator", ["sign", "polynomial"])
def test_the_surrogate_meets_the_sign_where_it_becomes_flat(estimator: Any) -> None:
    ends = torch.tensor([-1.0, 0.0, 1.0, -7.0, 7.0])
    assert binary.surrogate(ends, estimator).tolist() == [-1.0, 0.0, 1.0, -1.0, 1.0]


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Conv2d(6, 4, 3, 2, 1), nn.Conv2d(6, 4, (1, 3), groups=2, bias=False)])
def test_a_binary_layer_is_its_scaled_sums_of_signs(layer: nn.Module) -> None:
    x = torch.randn(5, 6, 7, 7) if isinstance(layer, nn.Conv2d) else torch.randn(5, 3, 6)
    made = binary.binarized(layer, "sign").eval()
    signed: Any = layer
    signed.weight.data = binary.sign(signed.weight.data)
    offset = torch.zeros(4) if signed.bias is None else signed.bias.detach().clone()
    signed.bias = None
    across = (slice(None), None, None) if isinstance(layer, nn.Conv2d) else (slice(None),)
    # An untrained norm divides by sqrt(1 + a tiny number), which turns no sign.
    torch.testing.assert_close(made(x), signed(binary.sign(x)) * made.scale[across] + offset[across])


@pytest.mark.parametrize("options", [{}, {"estimator": "sign"}, {"optimizer": "bop"}, {"progressive": True, "teacher": 0.5}])
def test_what_is_stored_are_signs_and_training_moved_them(untrained: Build, context: Context, options: dict[str, Any]) -> None:
    model = untrained("lenet5")
    made = Binarize(epochs=2, **options).apply(model, replace(context, reference=model))
    (one, two) = layers(made)
    assert {1.0, -1.0} == set(one.weight.unique().tolist()) == set(two.weight.unique().tolist())
    before = [layer.weight for name, layer in model.module.named_modules() if name in made.surgery[-1]["record"]["layers"]]
    assert any(bool((binary.sign(old) != new.weight).any()) for old, new in zip(before, (one, two), strict=True))
    assert not [name for name, _ in made.module.named_buffers() if "momentum" in name]
    assert model.module.state_dict().keys() == untrained("lenet5").module.state_dict().keys()


def test_the_first_and_the_last_layer_stay_real_unless_they_are_named(untrained: Build, context: Context) -> None:
    model = untrained("mlp", hidden=(8, 8, 8))
    names = [name for name, layer in model.module.named_modules() if isinstance(layer, nn.Linear)]
    assert Binarize(epochs=1).apply(model, context).surgery[-1]["record"]["layers"] == names[1:-1]
    assert Binarize(epochs=1, layers=("*",)).apply(model, context).surgery[-1]["record"]["layers"] == names
    with pytest.raises(Unsupported, match="between its first and its last layer the model has no"):
        Binarize(epochs=1).apply(untrained("mlp", hidden=(8,)), context)


def test_it_promises_a_bit_a_weight_and_the_time_of_the_products_that_stay_real(untrained: Build, context: Context) -> None:
    model = untrained("mlp", hidden=(40, 60, 8))
    made = Binarize(epochs=1).apply(model, context)
    signs = 40 * 60 + 60 * 8
    assert made.facts.binary_macs == signs
    promise = Binarize(epochs=1).promise(model.facts, made.facts)
    stored = 32 * (made.facts.parameters - signs) + signs
    assert promise.file_ratio == pytest.approx(stored / (32 * model.facts.parameters))
    real = made.facts.macs - signs
    assert promise.latency_ratio == pytest.approx((real + signs / TIMES) / made.facts.macs)
    then = QuantizeStatic().apply(made, context).facts
    assert then.weight_bits == min(8, made.facts.weight_bits) and then.binary_macs == signs


def test_depthwise_convolutions_stay_real_unless_they_are_named(untrained: Build, context: Context) -> None:
    model = untrained("ds_cnn", blocks=2)
    convolutions = [name for name, layer in model.module.named_modules() if isinstance(layer, nn.Conv2d)]
    pointwise = [name for name in convolutions if model.module.get_submodule(name).kernel_size == (1, 1)]
    assert Binarize(epochs=1).apply(model, context).surgery[-1]["record"]["layers"] == pointwise
    assert Binarize(epochs=1, layers=("*.0", "*.3")).apply(model, context).surgery[-1]["record"]["layers"] == convolutions[1:]


def test_bop_turns_a_sign_that_its_gradients_have_for_long_and_no_other(untrained: Build, context: Context) -> None:
    weight = nn.Parameter(torch.tensor([[1.0, 1.0, -1.0, -1.0]]))
    layer = binary.BinaryLinear(weight, None, 4, "sign")
    Binarize(optimizer="bop", rate=0.5, threshold=0.3)._bop([layer])
    for _ in range(2):
        (layer.weight * torch.tensor([[1.0, -1.0, 1.0, 0.1]])).sum().backward()  # gradients of the same sign turn
    assert layer.weight.tolist() == [[-1.0, 1.0, -1.0, -1.0]] and layer.weight.grad is None


def test_names_that_no_layer_has_and_stages_without_real_weights_are_refused(untrained: Build) -> None:
    model = untrained("lenet5")
    outlook = Outlook(model.family, {}, lambda: model.domain)
    with pytest.raises(UserError, match=r"binarize: layers: unknown layer 'convolution'; .*allowed"):
        Binarize(layers=("convolution",)).check(outlook)
    with pytest.raises(UserError, match='progressive = true trains real weights first, and optimizer = "bop" has none'):
        Binarize(progressive=True, optimizer="bop")


@pytest.mark.parametrize("options", [{}, {"optimizer": "bop"}, {"progressive": True}])
def test_a_killed_binarization_goes_on(goes_on: Callable[..., list[float]], options: dict[str, Any]) -> None:
    assert goes_on(Binarize(epochs=3, layers=("*",), **options))[0] >= 1
