"""The parts of a vector-quantized autoencoder: convolutions down to vectors, their codes, and convolutions up again."""

from __future__ import annotations

import torch
from torch import nn

from models._causal import Causal
from models._codebook import Codebook

REDUCTION = 4
"""A picture's sides over the grid's: two convolutions that halve."""


class Codec(nn.Module):
    """The parts; the codebook belongs to both sides."""

    def __init__(self, encoder: nn.Module, codebook: Codebook, decoder: nn.Module, prior: Causal) -> None:
        super().__init__()
        self.encoder, self.codebook, self.decoder, self.prior = encoder, codebook, decoder, prior

    def forward(self, picture: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The picture made again, and the prior's logits."""
        codes = self.codebook.nearest(self.encoder(picture))
        return self.decoder(self.codebook(codes)), self.prior(codes, label)


class Encode(nn.Module):
    """Pictures [N, C, H, W] -> codes int64 [N, h, w]."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.encoder, self.codebook = codec.encoder, codec.codebook

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """The nearest code of every place."""
        return self.codebook.nearest(self.encoder(picture))


class Decode(nn.Module):
    """Codes int64 [N, h, w] -> pictures [N, C, H, W]."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codebook, self.decoder = codec.codebook, codec.decoder

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """The picture of these codes."""
        made: torch.Tensor = self.decoder(self.codebook(codes))
        return made


class Residual(nn.Module):
    """x + what two convolutions, the first to half of the channels, find in relu(x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = max(1, channels // 2)
        self.body = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, between, 3, padding=1), nn.ReLU(), nn.Conv2d(between, channels, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, h, w], the same shape."""
        found: torch.Tensor = x + self.body(x)
        return found


def encoder(colours: int, channels: int, blocks: int, dimension: int) -> nn.Module:
    """Pictures -> vectors [N, dimension, H / 4, W / 4]."""
    halves = (nn.Conv2d(colours, channels // 2, 4, 2, 1), nn.ReLU(), nn.Conv2d(channels // 2, channels, 4, 2, 1))
    return nn.Sequential(*halves, *(Residual(channels) for _ in range(blocks)), nn.ReLU(), nn.Conv2d(channels, dimension, 1))


def decoder(colours: int, channels: int, blocks: int, dimension: int) -> nn.Module:
    """Vectors -> pictures."""
    return nn.Sequential(
        nn.Conv2d(dimension, channels, 3, padding=1),
        *(Residual(channels) for _ in range(blocks)),
        nn.ReLU(),
        nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(channels // 2, colours, 4, 2, 1),
    )
