"""Variational autoencoder with a critic: an encoder says which noise makes a picture, the critic what makes it a good one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast, final

import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.func import functional_call

from models import _adversary
from models._eye import shape_for
from models._game import GAME, Game
from models.gan import Generator
from models.tasks.reconstruction import Reconstruction
from pipeline.core import Domain, Graph, TensorSpec, Train


@final
@dataclass(frozen=True)
class VAEGAN(_adversary.Watched):
    """An encoder to a normal distribution of `latent` numbers, and `gan`'s generator as the decoder, which also knows the class.

    Minimises |x - x'|^2 + |f(x) - f(x')|^2 + beta KL(q(z|x) || p(z)) + adversarial (E[D(x)] - E[D(made)]), summed over pixels
    and features, where x' is made of z drawn as mean + exp(log_variance / 2) * noise, f are a critic's features, which do not
    learn from this, and what is made is x' and pictures of standard normal noise. The critic D learns in the same steps
    (`_adversary.judged`).
    Source: A. Larsen et al., "Autoencoding beyond pixels using a learned similarity metric" (2016, arXiv:1512.09300), which has
    no |x - x'|^2, a critic of chances instead of slopes, and an encoder that learns nothing from it.
    """

    channels: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (96, 48)
    """Of the decoder's maps of a quarter and of half the picture's sides; the encoder's are the same."""
    latent: Annotated[int, Ge(2)] = 64
    beta: Annotated[float, Gt(0)] = 1.0
    """Weight of the divergence. With little of it what is found lies far outside of the noise, which then becomes one picture."""
    adversarial: Annotated[float, Gt(0)] = 1.0
    """Weight of the critic in what the decoder and the encoder learn."""
    critic: Annotated[int, Gt(0)] = 32
    """Channels of the critic's first layer; the next have twice and four times as many."""
    penalty: Annotated[float, Gt(0)] = 10.0
    """On slopes of the critic that are not 1."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the channels of encoder and decoder."""

    presets: ClassVar = {
        "quick": Train(epochs=4, samples=2048, **GAME),
        "full": Train(epochs=8, **GAME),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Encoder, decoder and critic. UserError for what has no labelled pictures, or no eye."""
        shape = shape_for("lenet5", domain, "vae_gan", 4, labelled=True, least=8)
        first, second = (max(1, round(each * self.width)) for each in self.channels)
        decoder = Generator(self.latent, domain.classes, first, second, shape)
        return Hybrid(Encoder(self.latent, first, second, shape), decoder, domain, self.critic)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Pictures made again and made of noise [2N, C, H, W], the distribution of z, and the losses."""
        hybrid = cast("Hybrid", module)
        real, kind = hybrid.real(batch)
        mean, log_variance = hybrid.encoder(real)
        latent = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        kinds = torch.cat([kind, kind])
        made = hybrid(torch.cat([latent, torch.randn_like(latent)]), kinds)
        again, drawn = made.chunk(2)
        if module.training:
            hybrid.variety.see(drawn, real)
        error = (again - real).square().flatten(1).sum(dim=1) + (hybrid.seen(again) - hybrid.seen(real)).square().sum(dim=1)
        judged = _adversary.judged(
            lambda x: hybrid.critic(x, kinds), torch.cat([real, real]), made, self.adversarial, self.penalty
        )
        return {"pictures": made, "mean": mean, "log_variance": log_variance, "error": error, "judged": judged}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """A picture's, and the critic's."""
        mean, log_variance = outputs["mean"], outputs["log_variance"]
        divergence = (log_variance.exp() + mean.square() - 1 - log_variance).sum(dim=1) / 2
        return (outputs["error"] + self.beta * divergence).mean() + outputs["judged"]

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The decoder, which makes pictures; and the encoder, to change given ones by their latent numbers."""
        hybrid = cast("Hybrid", module)
        inputs = {"latent": TensorSpec((1, self.latent)), "kind": TensorSpec((1, domain.classes))}
        (spec,) = domain.inputs.values()
        return {
            "decoder": Graph(hybrid.generator, inputs, ("pictures",)),
            "encoder": Graph(hybrid.encoder, {"pictures": TensorSpec(spec.shape)}, ("mean", "log_variance")),
        }

    def task(self, domain: Domain) -> Reconstruction:
        """The Fréchet distance of pictures made of noise; how well given ones are made again stands beside it."""
        return Reconstruction.of(domain, latent=self.latent)


class Hybrid(Game):
    """The game, with an encoder."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, domain: Domain, critic: int) -> None:
        super().__init__(decoder, domain, critic)
        self.encoder = encoder

    def seen(self, pictures: torch.Tensor) -> torch.Tensor:
        """The critic's features [N, features], by which it does not learn."""
        fixed = {name: each.detach() for name, each in self.critic.body.named_parameters()}
        found: torch.Tensor = functional_call(self.critic.body, fixed, (2 * pictures - 1,))
        return found


class Encoder(nn.Module):
    """Brightness [N, C, H, W], 0 to 1 -> mean and logarithm of the variance of its latent numbers, both [N, latent]."""

    def __init__(self, latent: int, first: int, second: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        self.body = nn.Sequential(
            nn.Conv2d(channels, second, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(second, first, 4, 2, 1),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Flatten(),
        )
        seen = first * (height // 4) * (width // 4)
        self.mean = nn.Linear(seen, latent)
        self.log_variance = nn.Linear(seen, latent)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[N, latent] each."""
        found = self.body(pictures)
        return self.mean(found), self.log_variance(found)
