"""Neurons fire as their equations say, learn by the stated gradient, and fire alike however their inputs are summed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from models.spiking import SLOPE, Neurons, Spiking, SpikingNetwork, fire, fixed_point
from pipeline.core import Domain, TensorSpec
from pipeline.errors import UserError
from pipeline.evaluate import module_predictor, one_by_one

DOMAIN = Domain("digits", {"image": TensorSpec((1, 1, 28, 28))}, 10)


def network() -> SpikingNetwork:
    torch.manual_seed(0)
    module = Spiking().build(DOMAIN)
    assert isinstance(module, SpikingNetwork)
    for layer in (module.first, module.second):
        nn.init.normal_(layer.weight, std=0.3)  # so that every layer fires
    return module.eval()


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("current", "spikes"),
    [
        pytest.param(0.5, "0000000", id="leaks as fast as it fills"),
        pytest.param(0.625, "0010010", id="0.625 0.9375 1.09375, then 0.09375 is left"),
        pytest.param(1.0, "0111111", id="the threshold itself is not above it"),
        pytest.param(3.0, "1111111", id="fires once a step at most"),
    ],
)
def test_a_neuron_integrates_leaks_fires_and_resets_by_subtraction(current: float, spikes: str) -> None:
    neurons = Neurons(training=False)
    fired = [int(neurons.drive(torch.tensor([current]))) for _ in spikes]
    assert "".join(map(str, fired)) == spikes
    assert neurons.fired == sum(fired)


def test_the_gradient_is_the_surrogates_and_the_value_is_not() -> None:
    above = torch.tensor([-2.0, -0.1, 0.0, 0.1, 2.0], requires_grad=True)
    spikes = fire(above, training=True)
    spikes.sum().backward()
    assert spikes.tolist() == [0, 0, 0, 1, 1]
    expected = SLOPE / 2 / (1 + (math.pi / 2 * SLOPE * above.detach()) ** 2)
    torch.testing.assert_close(above.grad, expected)


def test_training_and_inference_fire_the_same_spikes() -> None:
    module, batch = network(), images(4)
    logits, spikes = module(batch)
    trained_logits, trained_spikes = module.train()(batch)
    assert torch.equal(spikes, trained_spikes)
    torch.testing.assert_close(logits, trained_logits)


def test_spikes_are_counted_for_each_image_over_layers_and_steps() -> None:
    module, batch = network(), images(3)
    counted: list[torch.Tensor] = []
    layer = module.second.register_forward_pre_hook(lambda _, given: counted.append(given[0].sum((1, 2, 3))))
    first = module(batch)[1]
    layer.remove()
    assert len(counted) == module.steps
    last = module.head.in_features * module.steps
    hidden = torch.stack(counted).sum(0)
    assert (first >= hidden).all() and (first <= hidden + last).all() and (first > hidden).any()
    graph = Spiking().graphs(module, DOMAIN)["classifier"]
    together = module_predictor(graph)({"image": batch.numpy()})
    apart = one_by_one(module_predictor(graph))({"image": batch.numpy()})
    np.testing.assert_array_equal(together["spikes"], apart["spikes"])


def test_deployed_sums_are_exact_in_float32_and_so_the_same_in_every_order() -> None:
    """The test of the remedy: without fixed-point weights the sums in float32 and float64 differ."""
    pixels = torch.round(images(8) * 64) / 64
    spikes = (torch.rand(8, 16, 12, 12, generator=torch.Generator().manual_seed(2)) < 0.3).float()
    rounded = []
    for module in (network(), fixed_point(network())):
        assert isinstance(module, SpikingNetwork)
        with torch.no_grad():
            single = module.first(pixels), module.second(spikes)
            module.double()
            double = module.first(pixels.double()), module.second(spikes.double())
        rounded.append([not torch.equal(a.double(), b) for a, b in zip(single, double, strict=True)])
    assert rounded == [[True, True], [False, False]]


def test_fixed_point_leaves_the_trained_weights_alone_and_near() -> None:
    module = network()
    before = module.first.weight.clone()
    copied = fixed_point(module)
    assert isinstance(copied, SpikingNetwork)
    assert torch.equal(module.first.weight, before)
    assert 0 < (copied.first.weight - before).abs().max() <= 2**-11


def test_a_small_image_is_refused() -> None:
    with pytest.raises(UserError, match="7x9 px are too small; at least 8x8"):
        Spiking().build(Domain("tiny", {"image": TensorSpec((1, 1, 7, 9))}, 10))
