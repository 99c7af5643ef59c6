"""The encoder and the decoder learn what the critic's features say, and the critic learns nothing of that."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models._adversary import STEPS
from models.vae_gan import VAEGAN
from pipeline.core import Domain, TensorSpec
from pipeline.errors import UserError

DOMAIN = Domain("mnist", {"image": TensorSpec((1, 1, 8, 8))}, 3, pixels=(-1.0, 3.0))
SMALL = VAEGAN(channels=(8, 4), latent=5, critic=4)
BATCH = {"image": 4 * torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 1, "label": torch.arange(6) % 3}


def gradients(loss: str, part: str) -> float:
    """Largest gradient of some loss in a part of the module."""
    torch.manual_seed(0)
    module = SMALL.build(DOMAIN)
    SMALL.forward(module, BATCH)[loss].sum().backward()
    found = [each.grad for each in module.get_submodule(part).parameters() if each.grad is not None]
    return max((float(each.abs().max()) for each in found), default=0.0)


@pytest.mark.parametrize("part", ["encoder", "generator"])
@pytest.mark.parametrize("loss", ["error", "judged"])
def test_encoder_and_decoder_learn_from_the_error_and_from_the_critic(loss: str, part: str) -> None:
    assert gradients(loss, part) > 0


def test_the_critic_learns_to_tell_and_not_to_forgive() -> None:
    assert gradients("judged", "critic") > 0
    assert gradients("error", "critic") == 0, "or its features would become those in which nothing differs"


def test_the_critic_s_weight_is_the_decoder_s_alone() -> None:
    def found(weight: float, part: str) -> torch.Tensor:
        torch.manual_seed(0)
        family = replace(SMALL, adversarial=weight)
        module = family.build(DOMAIN)
        family.forward(module, BATCH)["judged"].backward()
        (first, *_) = module.get_submodule(part).parameters()
        assert first.grad is not None
        return first.grad

    torch.testing.assert_close(found(3.0, "generator"), 3 * found(1.0, "generator"))
    torch.testing.assert_close(found(3.0, "critic"), found(1.0, "critic"))


def test_the_weights_are_those_of_the_parts() -> None:
    torch.manual_seed(0)
    outputs = SMALL.forward(SMALL.build(DOMAIN), BATCH)
    normal = torch.distributions.Normal(outputs["mean"], (outputs["log_variance"] / 2).exp())
    divergence = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum() / 6
    torch.testing.assert_close(VAEGAN(beta=3.0).loss(outputs, BATCH) - VAEGAN().loss(outputs, BATCH), 2 * divergence)


def test_pictures_are_made_again_and_of_noise_for_the_same_classes() -> None:
    torch.manual_seed(0)
    module = SMALL.build(DOMAIN).eval()
    graphs = SMALL.graphs(module, DOMAIN)
    assert list(graphs) == ["decoder", "encoder"], "the latency of a generator is its decoder's"
    with torch.no_grad():
        assert len(SMALL.forward(module, BATCH)["pictures"]) == 12
        mean, log_variance = graphs["encoder"].module(torch.rand(2, 1, 8, 8))
        assert mean.shape == log_variance.shape == (2, 5)
        assert graphs["decoder"].module(mean, torch.eye(3)[:2]).shape == (2, 1, 8, 8)


def test_a_decoder_that_has_collapsed_ends_the_training() -> None:
    module = SMALL.build(DOMAIN)
    for parameter in module.generator.parameters():
        parameter.data.zero_()
    SMALL.pace(module, 0.3)
    with pytest.raises(UserError, match="mode collapse after 30 %"):
        for _ in range(STEPS):
            SMALL.forward(module, BATCH)


def test_what_has_no_labels_is_refused() -> None:
    with pytest.raises(UserError, match="vae_gan: maps has no labelled pictures"):
        VAEGAN().build(Domain("maps", DOMAIN.inputs, pixels=(0.0, 1.0)))
