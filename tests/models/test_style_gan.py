"""Modulated convolutions are those of each sample's own weights, whatever the samples beside it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from models.style_gan import RATE, Modulated, StyleGAN
from pipeline.core import Domain, TensorSpec

DOMAIN = Domain("mnist", {"image": TensorSpec((1, 1, 8, 8))}, 3, pixels=(0.0, 1.0))


def test_it_is_the_convolution_with_each_samples_own_demodulated_weights() -> None:
    """As the paper has it: w' = s w / sqrt(sum of (s w)^2 over inputs and pixels), a weight a sample."""
    torch.manual_seed(0)
    layer = Modulated(5, 6, 4)
    maps, style = torch.randn(3, 6, 7, 7), torch.randn(3, 5)
    found = layer(maps, style)
    for sample in range(3):
        own = layer.convolution.weight * RATE * layer.style(style[sample]).view(6, 1, 1, 1)
        squares = own.square().sum(dim=(0, 2, 3), keepdim=True) / 4
        wanted = functional.conv_transpose2d(maps[sample : sample + 1], own / squares.sqrt(), stride=2, padding=1)
        torch.testing.assert_close(found[sample : sample + 1], wanted, atol=1e-5, rtol=1e-4)


def test_variance_stays_as_it_is() -> None:
    torch.manual_seed(0)
    layer = Modulated(5, 6, 4)
    found = layer(torch.randn(400, 6, 8, 8), 3 * torch.randn(400, 5))[:, :, 2:-2, 2:-2]
    assert float(found.square().mean().detach()) == pytest.approx(1, abs=0.1)


def test_the_style_changes_pictures_of_which_the_map_is_the_same() -> None:
    torch.manual_seed(0)
    family = StyleGAN(channels=(8, 4, 2), latent=5, style=6, critic=4)
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
