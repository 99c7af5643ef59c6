"""A variational autoencoder draws its pixels, says how sure it is, and pays for what its latent numbers say."""

from __future__ import annotations

import pytest
import torch

from models.vae import VAE
from pipeline.core import Domain, TensorSpec
from pipeline.errors import UserError

DOMAIN = Domain("pictures", {"image": TensorSpec((1, 1, 6, 6))}, pixels=(-1.0, 3.0))


def outputs(family: VAE, image: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return family.forward(family.build(DOMAIN), {"image": image, "label": torch.zeros(len(image))})


def test_it_learns_pixels_that_are_drawn_of_their_brightness() -> None:
    grey = outputs(VAE(), torch.full((400, 1, 6, 6), 0.0))["pixels"]
    assert set(grey.unique().tolist()) == {0.0, 1.0} and float(grey.mean()) == pytest.approx(0.25, abs=0.02)
    assert float(outputs(VAE(), torch.full((4, 1, 6, 6), -1.0))["pixels"].sum()) == 0
    assert float(outputs(VAE(), torch.full((4, 1, 6, 6), 3.0))["pixels"].mean()) == 1


def test_beta_weighs_the_divergence_from_a_standard_normal_distribution() -> None:
    found = outputs(VAE(), torch.zeros(8, 1, 6, 6))
    mean, spread = found["mean"], (found["log_variance"] / 2).exp()
    normal = torch.distributions.Normal(mean, spread)
    divergence = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum() / 8
    torch.testing.assert_close(VAE(beta=5.0).loss(found, {}) - VAE().loss(found, {}), 4 * divergence)
    bernoulli = torch.distributions.Bernoulli(logits=found["logits"])
    torch.testing.assert_close(VAE().loss(found, {}), -bernoulli.log_prob(found["pixels"]).sum() / 8 + divergence)


def test_the_latent_numbers_carry_the_picture_and_noise() -> None:
    torch.manual_seed(0)
    family = VAE(hidden=(8,), latent=3, width=0.5)
    graphs = family.graphs(family.build(DOMAIN), DOMAIN)
    assert list(graphs) == ["decoder", "encoder"], "the latency of a generator is its decoder's"
    assert graphs["decoder"].module(torch.zeros(2, 3)).shape == (2, 1, 6, 6)
    assert [tensor.shape for tensor in graphs["encoder"].module(torch.zeros(2, 1, 6, 6))] == [(2, 3), (2, 3)]
    assert graphs["decoder"].module[0].out_features == 4


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(UserError, match="vae: words has no pictures"):
        VAE().build(Domain("words", {"tokens": TensorSpec((1, 5), "int64")}))
