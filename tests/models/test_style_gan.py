"""Modulated convolutions are those of each sample's own weights, whatever the samples beside it."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.style_gan import Modulated, StyleGAN
from pipeline.core import Domain, TensorSpec

DOMAIN = Domain("mnist", {"image": TensorSpec((1, 1, 8, 8))}, 3, pixels=(0.0, 1.0))
CONVOLUTIONS = {
    "same": (partial(nn.Conv2d, 6, 4, 3, 1, 1, bias=False), functional.conv2d, (1, 1), 1),
    "doubled": (partial(nn.ConvTranspose2d, 6, 4, 4, 2, 1, bias=False), functional.conv_transpose2d, (2, 1), 4),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_it_is_the_convolution_with_each_samples_own_demodulated_weights(name: str) -> None:
    """As the paper has it: w' = s w / sqrt(sum of (s w)^2 over inputs and pixels), a weight a sample."""
    make, function, (stride, padding), meeting = CONVOLUTIONS[name]
    torch.manual_seed(0)
    convolution = make()
    layer = Modulated(5, convolution)
    maps, style = torch.randn(3, 6, 7, 7), torch.randn(3, 5)
    found = layer(maps, style)
    inputs = 1 if name == "same" else 0
    for sample in range(3):
        loud = layer.style(style[sample]).view(*[6 if axis == inputs else 1 for axis in range(4)])
        own = convolution.weight * loud
        squares = own.square().sum(dim=(inputs, 2, 3), keepdim=True) / meeting
        wanted = function(maps[sample : sample + 1], own / squares.sqrt(), stride=stride, padding=padding)
        torch.testing.assert_close(found[sample : sample + 1], wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_variance_stays_as_it_is(name: str) -> None:
    torch.manual_seed(0)
    layer = Modulated(5, CONVOLUTIONS[name][0]())
    found = layer(torch.randn(400, 6, 8, 8), 3 * torch.randn(400, 5))[:, :, 2:-2, 2:-2]
    assert float(found.square().mean().detach()) == pytest.approx(1, abs=0.1)


def test_the_style_changes_pictures_of_which_the_map_is_the_same() -> None:
    torch.manual_seed(0)
    family = StyleGAN(channels=(8, 4), latent=5, style=6, critic=4)
    (graph,) = family.graphs(family.build(DOMAIN).eval(), DOMAIN).values()
    latent, kind = torch.randn(2, 5), torch.eye(3)[:2]
    made = graph.module(latent, kind)
    assert made.shape == (2, 1, 8, 8) and not torch.equal(made[0], made[1])
    torch.testing.assert_close(made, graph.module(7 * latent, kind), msg="of the noise its direction counts")
    graph.module.dense.weight.data.zero_()
    assert not torch.equal(*graph.module(latent, kind))
    for parameter in graph.module.mapping.parameters():
        parameter.data.zero_()
    assert torch.equal(*graph.module(latent, kind))
