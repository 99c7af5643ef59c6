"""A generator is asked for a class, and a critic that knows the classes teaches it which is which."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models._adversary import STEPS
from models._game import Critic
from models.gan import GAN
from pipeline.core import Domain, TensorSpec
from pipeline.errors import UserError

DOMAIN = Domain("mnist", {"image": TensorSpec((1, 1, 12, 8))}, 3, pixels=(-1.0, 3.0))
SMALL = GAN(channels=(8, 4), latent=5, critic=4)
BATCH = {"image": torch.full((6, 1, 12, 8), 1.0), "label": torch.arange(6) % 3}


def test_it_makes_brightness_of_noise_and_a_class() -> None:
    torch.manual_seed(0)
    (graph,) = SMALL.graphs(SMALL.build(DOMAIN).eval(), DOMAIN).values()
    latent, kind = torch.randn(2, 5), torch.eye(3)[:2]
    made = graph.module(latent, kind)
    assert made.shape == (2, 1, 12, 8) and float(made.detach().min()) >= 0 and float(made.detach().max()) <= 1
    assert not torch.equal(made, graph.module(latent, kind.flip(0))), "the class counts"
    assert not torch.equal(made, graph.module(latent.flip(0), kind)), "the noise counts"


def test_real_pictures_come_as_brightness_with_their_classes() -> None:
    brightness, kind = SMALL.build(DOMAIN).real(BATCH)
    assert set(brightness.unique().tolist()) == {0.5}
    assert kind.argmax(dim=1).tolist() == BATCH["label"].tolist() and float(kind.sum()) == 6


def test_generator_and_critic_pull_at_the_same_score() -> None:
    """What lowers the loss by the critic's weights raises it by the generator's."""
    torch.manual_seed(0)
    family = replace(SMALL, penalty=1e-9)
    game = family.build(DOMAIN)

    def step(part: torch.nn.Module) -> float:
        torch.manual_seed(1)
        before = family.loss(family.forward(game, BATCH), BATCH)
        game.zero_grad()
        before.backward()
        with torch.no_grad():
            for parameter in part.parameters():
                parameter -= 0.1 * parameter.grad
        torch.manual_seed(1)
        return float(family.loss(family.forward(game, BATCH), BATCH).detach() - before.detach())

    assert step(game.critic) < 0 < step(game.generator.picture)


def test_the_critic_holds_a_picture_against_its_class() -> None:
    torch.manual_seed(0)
    critic = Critic((1, 8, 8), classes=3, width=4)
    scores = critic(torch.rand(1, 1, 8, 8).expand(3, -1, -1, -1), torch.eye(3))
    assert len(scores.unique()) == 3


def test_a_generator_that_has_collapsed_ends_the_training() -> None:
    game = SMALL.build(DOMAIN)
    for parameter in game.generator.parameters():
        parameter.data.zero_()
    varied = {**BATCH, "image": torch.rand(6, 1, 12, 8)}
    with pytest.raises(UserError, match="mode collapse after 50 %"):
        for _ in range(STEPS):
            SMALL.pace(game, 0.5)
            SMALL.forward(game, varied)


@pytest.mark.parametrize(
    ("domain", "line"),
    [
        (Domain("maps", DOMAIN.inputs, pixels=(0.0, 1.0)), "gan: maps has no labelled pictures"),
        (Domain("words", {"tokens": TensorSpec((1, 5), "int64")}, 4), "gan: words has no labelled pictures"),
        (Domain("odd", {"image": TensorSpec((1, 1, 28, 30))}, 10, pixels=(0.0, 1.0)), "gan: pictures of 28x30 px do not fit"),
    ],
    ids=lambda each: each.name if isinstance(each, Domain) else "",
)
def test_what_it_cannot_learn_is_refused(domain: Domain, line: str) -> None:
    with pytest.raises(UserError, match=line):
        GAN().build(domain)
