"""Weight-only quantization: the torch module itself takes the rounded weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import nn

from pipeline.compress._gptq import _called, _columns, rounded
from pipeline.compress._grid import on_grid, scales
from pipeline.compress._weights import weights
from pipeline.compress.quantize_weights import QuantizeWeights
from pipeline.core import Context, Model, Outlook, Precision, Unsupported
from pipeline.errors import UserError
from pipeline.export._integers import found


@pytest.mark.parametrize("method", ["nearest", "gptq"])
@pytest.mark.parametrize(("name", "bits", "group"), [("mlp", 4, 4), ("lenet5", 8, None), ("gru_classifier", 4, None)])
def test_every_weight_is_on_the_grid_and_nothing_else_moves(
    untrained: Callable[..., Model],
    context: Context,
    method: Literal["nearest", "gptq"],
    name: str,
    bits: Literal[8, 4],
    group: int | None,
) -> None:
    model = untrained(name)
    made = QuantizeWeights(bits, group, method, calibration_samples=8).apply(model, context)
    assert made.precision == Precision("float", weight_bits=bits, group=group)
    state, before = made.module.state_dict(), model.module.state_dict()
    for key, weight in weights(made.module).items():
        array = weight.detach().numpy()
        assert array.size < 200 or found(array, made.precision) is not None, key
        assert not torch.equal(weight, before[key])
    assert all(torch.equal(state[key], before[key]) for key in state if key not in weights(made.module))


def test_a_group_that_does_not_divide_a_layers_inputs_is_refused_by_the_layers_name(
    untrained: Callable[..., Model], context: Context
) -> None:
    model = untrained("lenet5")
    outlook = Outlook(model.family, {}, lambda: model.domain)
    first = next(iter(weights(model.module)))
    with pytest.raises(UserError, match=rf"group = 16 does not divide the inputs of {first} \(25\)") as caught:
        QuantizeWeights(4, 16).check(outlook)
    assert "\n" not in str(caught.value)
    QuantizeWeights(4).check(outlook)
    with pytest.raises(Unsupported, match="group = 16"):  # a chain may have changed the layers since
        QuantizeWeights(4, 16).apply(model, context)


@pytest.mark.parametrize(("bits", "group"), [(8, None), (4, None), (4, 4)])
def test_the_mean_bits_count_scales_and_what_stays_float(
    untrained: Callable[..., Model], context: Context, bits: Literal[8, 4], group: int | None
) -> None:
    model = untrained("mlp")
    made = QuantizeWeights(bits, group).apply(model, context)
    every = list(model.module.parameters())
    bits_of = [bits + 32 / (group or each.shape[1]) if each.dim() == 2 else 32 for each in every]
    mean = sum(own * each.numel() for own, each in zip(bits_of, every, strict=True)) / sum(each.numel() for each in every)
    assert made.facts.weight_bits == pytest.approx(mean)
    promise = QuantizeWeights(bits, group).promise(model.facts, made.facts)
    assert promise.file_ratio == pytest.approx(mean / 32) and promise.latency_ratio == 1


def correlated(count: int, inputs: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(count, 6, generator=draw) @ torch.randn(6, inputs, generator=draw) + 0.1 * torch.randn(
        count, inputs, generator=draw
    )


@pytest.mark.parametrize("group", [None, 8])
def test_gptq_changes_a_layers_outputs_less_than_rounding_to_the_nearest(group: int | None) -> None:
    x, weight = correlated(400, 32), torch.randn(20, 32, generator=torch.Generator().manual_seed(1))
    nearest = on_grid(weight, scales(weight, 4, group), 4)
    ours = rounded(weight, x.T @ x / len(x), 4, group)
    lost = [float(((x @ (each - weight).T) ** 2).mean()) for each in (nearest, ours)]
    assert lost[1] < 0.5 * lost[0]
    assert found(ours.numpy().repeat(4, axis=0), Precision("float", weight_bits=4, group=group)) is not None


def test_gptq_of_inputs_that_do_not_depend_on_each_other_is_rounding_to_the_nearest() -> None:
    weight = torch.randn(20, 32, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(rounded(weight, torch.eye(32), 4, None), on_grid(weight, scales(weight, 4), 4), atol=1e-6)


def test_gptq_bears_inputs_that_are_never_seen() -> None:
    weight = torch.randn(20, 32, generator=torch.Generator().manual_seed(1))
    assert rounded(weight, torch.zeros(32, 32), 8, None).isfinite().all()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(4, 8, (1, 3), groups=4, dilation=(1, 2), padding="same", bias=False),
        nn.Conv1d(4, 6, 3, groups=2, padding=2, bias=False),
        nn.Linear(4, 6, bias=False),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_the_columns_times_the_weights_are_what_the_layer_computes(layer: nn.Module) -> None:
    shape = {nn.Conv2d: (2, 4, 7, 7), nn.Conv1d: (2, 4, 9), nn.Linear: (2, 5, 4)}[type(layer)]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    columns = _columns(layer, x)
    rows = layer.weight.detach().flatten(1)
    found_ = torch.cat([part @ each for part, each in zip(rows.chunk(len(columns)), columns, strict=True)])
    expected = layer(x).detach()
    expected = expected.flatten(0, -2).T if isinstance(layer, nn.Linear) else expected.transpose(0, 1).flatten(1)
    torch.testing.assert_close(found_, expected, atol=1e-5, rtol=1e-5)


def test_layers_are_rounded_in_the_order_of_their_calls(untrained: Callable[..., Model], context: Context) -> None:
    model = untrained("lenet5")
    batch = {name: torch.from_numpy(array) for name, array in context.data.batch("train", slice(0, 2)).items()}
    names = _called(model.module, model.family.build(), batch)
    assert [f"{name}.weight" for name in names] == list(weights(model.module))
