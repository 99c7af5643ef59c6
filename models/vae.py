"""Variational autoencoder: a decoder that makes pictures of random numbers, an encoder that says which numbers made a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Annotated, ClassVar, cast, final

import torch
from annotated_types import Gt, Len
from torch import nn
from torch.nn import functional

from models._batch import only_input
from models._picture import shape_of
from models.tasks.elbo import Elbo
from pipeline.core import Domain, Family, Graph, TensorSpec, Train


@final
@dataclass(frozen=True)
class VAE(Family):
    """Dense layers from a picture to a normal distribution of `latent` numbers, and from such to each pixel's chance to be 1.

    Minimises E_q(z|x)[-log p(x|z)] + beta KL(q(z|x) || p(z)), nats a picture, where p(z) is standard normal and z is drawn as
    mean + exp(log_variance / 2) * noise; with beta = 1 that is an upper bound on -log p(x). Of a picture each pixel is drawn anew
    whenever it is seen, 1 with its brightness as the chance (dynamic binarization).
    Sources: D. Kingma & M. Welling, "Auto-encoding variational Bayes" (2014, arXiv:1312.6114); beta, I. Higgins et al.,
    "beta-VAE" (2017); binarization, R. Salakhutdinov & I. Murray, "On the quantitative analysis of deep belief networks" (2008).
    """

    hidden: Annotated[tuple[Annotated[int, Gt(0)], ...], Len(1)] = (512, 256)
    """Units of the encoder's hidden layers with ReLU; the decoder's are the same, backwards."""
    latent: Annotated[int, Gt(0)] = 24
    beta: Annotated[float, Gt(0)] = 1.0
    """Above 1 fewer of the latent numbers say something, each of a thing of its own, and pictures are made worse."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the hidden units, not the latent numbers."""

    presets: ClassVar = {
        "quick": Train(epochs=20, batch=64, samples=2048, learning_rate=2e-3, augment=False),
        # Moved digits would be other digits than those whose likelihood is asked for.
        "full": Train(epochs=40, learning_rate=2e-3, weight_decay=0.0, augment=False),
    }

    def build(self, domain: Domain) -> nn.Module:
        """The two networks. UserError for inputs that are no pictures."""
        shape = shape_of(domain, "vae")
        assert domain.pixels is not None  # `shape_of` says so
        units = [max(1, round(each * self.width)) for each in self.hidden]
        return Pair(shape, units, self.latent, domain.pixels)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The pixels drawn [N, C, H, W], the logits of their chances, and the distribution of the latent numbers [N, latent]."""
        pair = cast("Pair", module)
        given = only_input(batch)
        pixels = torch.bernoulli(((given - pair.dark) / (pair.bright - pair.dark)).clamp(0, 1))
        mean, log_variance = pair.encoder(pixels)
        latent = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return {"pixels": pixels, "logits": pair.decoder(latent), "mean": mean, "log_variance": log_variance}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Nats a picture, the divergence times `beta`."""
        mean, log_variance = outputs["mean"], outputs["log_variance"]
        missed = functional.binary_cross_entropy_with_logits(outputs["logits"], outputs["pixels"], reduction="sum")
        divergence = (log_variance.exp() + mean.square() - 1 - log_variance).sum() / 2
        return (missed + self.beta * divergence) / len(mean)

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The decoder, which makes pictures; and the encoder, to change given ones by their latent numbers."""
        pair = cast("Pair", module)
        return {
            "decoder": Graph(pair.decoder, {"latent": TensorSpec((1, self.latent))}, ("logits",)),
            "encoder": Graph(pair.encoder, domain.inputs, ("mean", "log_variance")),
        }

    def task(self, domain: Domain) -> Elbo:
        """The bound on -log p(x), in nats."""
        assert domain.pixels is not None  # `build` says so
        (name,) = domain.inputs
        return Elbo("encoder", "decoder", name, *domain.pixels)


class Pair(nn.Module):
    """An encoder and a decoder, and what the pixels of prepared pictures lie between."""

    dark: torch.Tensor
    bright: torch.Tensor

    def __init__(self, shape: tuple[int, ...], units: Sequence[int], latent: int, pixels: tuple[float, float]) -> None:
        super().__init__()
        self.encoder = Encoder(shape, units, latent)
        self.decoder = nn.Sequential(*_dense([latent, *units[::-1]]), nn.Linear(units[0], prod(shape)), nn.Unflatten(1, shape))
        for name, value in zip(("dark", "bright"), pixels, strict=True):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pixels made again without noise: logits, mean, log_variance."""
        mean, log_variance = self.encoder(pixels)
        return self.decoder(mean), mean, log_variance


class Encoder(nn.Module):
    """Pixels of 0 and 1 [N, C, H, W] -> mean and logarithm of the variance, both [N, latent]."""

    def __init__(self, shape: tuple[int, ...], units: Sequence[int], latent: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), *_dense([prod(shape), *units]))
        self.mean = nn.Linear(units[-1], latent)
        self.log_variance = nn.Linear(units[-1], latent)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the distribution that the latent numbers of these pixels have."""
        found = self.body(pixels)
        return self.mean(found), self.log_variance(found)


def _dense(sizes: Sequence[int]) -> list[nn.Module]:
    """Linear layers, each with ReLU."""
    return [layer for before, after in pairwise(sizes) for layer in (nn.Linear(before, after), nn.ReLU())]
