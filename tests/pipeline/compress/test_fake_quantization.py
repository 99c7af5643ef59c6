"""What training sees is what is kept: rounded weights, gradients of the float ones, inputs in 8 bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pipeline.compress._fake_quantization import RANGE, round_inputs, rounded, rounding_loss, straight_through
from pipeline.compress._grid import levels, on_grid, scales
from pipeline.compress._weights import weights
from pipeline.core import Context, Model, Unsupported

Build = Callable[..., Model]
Batch = dict[str, torch.Tensor]


def batch(context: Context, count: int = 64) -> Batch:
    return {name: torch.from_numpy(array) for name, array in context.data.batch("train", slice(0, count)).items()}


def slopes(function: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor, step: float = 1e-6) -> torch.Tensor:
    """The gradient by central differences, float64."""
    found = torch.zeros_like(at)
    for index in np.ndindex(*at.shape):
        ahead, behind = at.clone(), at.clone()
        ahead[index] += step
        behind[index] -= step
        found[index] = (function(ahead) - function(behind)) / (2 * step)
    return found


@given(st.integers(0, 99), st.integers(2, 8), st.sampled_from([None, 2, 3]))
def test_the_gradient_is_that_of_the_weight_moved_to_its_grid_as_it_was(seed: int, bits: int, group: int | None) -> None:
    """The surrogate: loss(w + c), where c = rounded - w does not move."""
    torch.manual_seed(seed)
    layer = nn.Linear(6, 3).double()
    x = torch.randn(5, 6).double()

    def loss(module: nn.Module, batch: Batch) -> torch.Tensor:
        return (module(batch["x"]) ** 3).sum()

    rounding_loss(loss, {"weight": bits}, group)(layer, {"x": x}).backward()
    before = layer.weight.detach().clone()
    moved = on_grid(before, scales(before, bits, group), bits) - before

    def surrogate(weight: torch.Tensor) -> torch.Tensor:
        return (nn.functional.linear(x, weight + moved, layer.bias.detach()) ** 3).sum()

    assert torch.allclose(torch.as_tensor(layer.weight.grad), slopes(surrogate, before), rtol=1e-5, atol=1e-5)
    assert torch.equal(layer.weight, before)


def test_the_gradient_of_an_input_is_that_of_the_clamp_to_its_range() -> None:
    layer = nn.Linear(4, 2).double()
    round_inputs(layer)
    layer(torch.tensor([[-1.0, 0.0, 0.5, 2.0]]).double())  # the first batch makes the range
    layer.eval()
    x = torch.tensor([[-1.3, -0.2, 1.1, 2.4]]).double().requires_grad_()
    layer.get_submodule(RANGE)(x).square().sum().backward()
    seen = layer.get_submodule(RANGE)(x.detach())
    assert torch.allclose(seen, x.detach().clamp(-1, 2), atol=3 / 255)
    clamped = slopes(lambda at: (at.clamp(-1, 2) - x.detach().clamp(-1, 2) + seen).square().sum(), x.detach())
    assert torch.allclose(torch.as_tensor(x.grad), clamped, rtol=1e-5)


def test_a_range_follows_the_batches_only_in_training_and_holds_zero() -> None:
    layer = nn.Linear(2, 2)
    round_inputs(layer)
    layer(torch.tensor([[1.0, 3.0]]))
    ranged = layer.get_submodule(RANGE)
    assert (float(ranged.get_buffer("low")), float(ranged.get_buffer("high"))) == (0.0, 3.0)
    layer(torch.tensor([[1.0, 5.0]]))
    assert 3.0 < float(ranged.get_buffer("high")) < 3.1
    held = float(ranged.get_buffer("high"))
    layer.eval()(torch.tensor([[1.0, 9.0]]))
    assert float(ranged.get_buffer("high")) == held


@pytest.mark.parametrize("name", ["mlp", "lenet5", "gru_classifier", "resnet8"])
@pytest.mark.parametrize("bits", [2, 4])
def test_what_is_trained_is_what_is_kept(untrained: Build, context: Context, name: str, bits: int) -> None:
    model = untrained(name)
    family, module, given = model.family.build(), model.module.eval(), batch(context)
    widths = dict.fromkeys(weights(module), bits)

    def loss(net: nn.Module, batch: Batch) -> torch.Tensor:
        return family.loss(family.forward(net, batch), batch)

    with torch.no_grad():
        trained = rounding_loss(loss, widths)(module, given)
        kept = loss(rounded(module, widths), given)
        assert torch.equal(trained, kept)
        assert not torch.equal(kept, loss(module, given))


@given(st.integers(0, 99), st.integers(2, 8))
def test_rounding_what_is_rounded_changes_nothing_but_the_last_bits(seed: int, bits: int) -> None:
    torch.manual_seed(seed)
    layer = nn.Conv2d(3, 4, 3)
    once = rounded(layer, {"weight": bits})
    rows = weights(once)["weight"].detach().flatten(1)
    assert all(len(row.unique()) <= 2 * levels(bits) + 1 for row in rows)
    assert torch.allclose(weights(rounded(once, {"weight": bits}))["weight"], weights(once)["weight"], rtol=1e-5, atol=1e-7)


def test_a_weight_that_is_zero_is_rounded_to_zero() -> None:
    weight = torch.tensor([[0.0, 0.3, -0.7], [0.0, 0.0, 0.0]])
    assert torch.equal(straight_through(weight, 2) == 0, torch.tensor([[True, False, False], [True, True, True]]))


def test_what_rounds_inputs_can_be_taken_away(untrained: Build, context: Context) -> None:
    module, given = untrained("lenet5").module, batch(context)["image"]
    names, before = list(module.state_dict()), module(given)
    restore = round_inputs(module)
    assert not torch.equal(module(given), before)
    restore()
    assert list(module.state_dict()) == names
    assert torch.equal(module(given), before)


def test_a_group_that_does_not_divide_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"group = 4 does not divide the inputs of weight \(27\)"):
        rounded(nn.Conv2d(3, 4, 3), {"weight": 4}, group=4)
