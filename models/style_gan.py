"""Style-modulated generator: noise and a class become a style, and the style says how loud each channel of each layer is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.nn import functional

from models._eye import shape_for
from models._game import GAME, Adversarial, Game
from pipeline.core import Domain, Train

SLOPE = 0.2
"""Of what is below 0, in the layers that make the style."""


@final
@dataclass(frozen=True)
class StyleGAN(Adversarial):
    """A small map made of noise and a class, through convolutions that a style modulates; trained as `gan` is.

    The style is what other dense layers make of the same noise, scaled to a root mean square of 1, and class. Nothing random is
    added in the layers: what a call makes follows from its inputs. The source starts from one learned map for all pictures, and
    has no BatchNorm. Here, where channels are few and critic and generator learn in the same steps, the first made pictures that
    were too much alike, and without the second the brightness of all pictures runs away.
    It does not pay on pictures of 28 pixels: `gan`, which is smaller, comes nearer to Fashion-MNIST.
    Sources: T. Karras et al., "A style-based generator architecture for generative adversarial networks" (2019,
    arXiv:1812.04948); modulated convolutions, "Analyzing and improving the image quality of StyleGAN" (2020, arXiv:1912.04958).
    """

    channels: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (96, 48)
    """Of the maps of a quarter and of half the picture's sides."""
    latent: Annotated[int, Ge(2)] = 64
    style: Annotated[int, Gt(0)] = 64
    """Numbers of the style, and units of the layers that make it."""
    depth: Annotated[int, Ge(1)] = 2
    """Of those layers."""
    critic: Annotated[int, Gt(0)] = 32
    penalty: Annotated[float, Gt(0)] = 10.0
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the generator's channels."""

    presets: ClassVar = {
        "quick": Train(epochs=6, samples=2048, **GAME),
        "full": Train(epochs=12, **GAME),
    }

    def build(self, domain: Domain) -> Game:
        """Generator and critic. UserError for what has no labelled pictures, or no eye."""
        shape = shape_for("lenet5", domain, "style_gan", 4, labelled=True, least=8)
        channels = [max(1, round(each * self.width)) for each in self.channels]
        units = [self.latent + domain.classes, *[self.style] * self.depth]
        return Game(Generator(units, channels, shape), domain, self.critic)


class Generator(nn.Module):
    """Noise [N, latent] and shares of classes [N, classes] -> brightness [N, C, H, W], 0 to 1."""

    def __init__(self, units: list[int], channels: list[int], shape: tuple[int, int, int]) -> None:
        super().__init__()
        first, second = channels
        colours, height, width = shape
        self.small = (first, height // 4, width // 4)
        self.dense = nn.Linear(units[0], first * self.small[1] * self.small[2])
        self.dense_norm = nn.BatchNorm2d(first)
        mapping = [nn.Linear(before, after) for before, after in pairwise(units)]
        self.mapping = nn.Sequential(*(layer for each in mapping for layer in (each, nn.LeakyReLU(SLOPE))))
        for each in mapping:  # torch's own weights would let the noise fade on its way
            nn.init.kaiming_normal_(each.weight, SLOPE)
        self.doubled = Modulated(units[-1], nn.ConvTranspose2d(first, second, 4, 2, 1, bias=False))
        self.doubled_norm = nn.BatchNorm2d(second)
        self.same = Modulated(units[-1], nn.Conv2d(second, second, 3, 1, 1, bias=False))
        self.same_norm = nn.BatchNorm2d(second)
        self.picture = nn.Conv2d(second, colours, 3, padding=1)

    def forward(self, latent: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W]."""
        given = torch.cat([latent * (latent.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt(), kind], dim=1)
        style = self.mapping(given)
        maps = functional.relu(self.dense_norm(self.dense(given).unflatten(1, self.small)))
        maps = functional.relu(self.doubled_norm(self.doubled(maps, style)))
        maps = functional.relu(self.same_norm(self.same(maps, style)))
        return torch.sigmoid(self.picture(functional.interpolate(maps, scale_factor=2.0)))


class Modulated(nn.Module):
    """A convolution x [N, in, H, W] * w [out, in, kh, kw] whose channels a style [N, style] makes louder or softer:

        y = d * (s x * w)
        s = A style + b [N, in], b = 1 at first,  d = (s^2 @ sum over kh, kw of w^2 + 1e-8)^(-1/2) [N, out]

    which is the convolution with each sample's own weights s w / |s w|, whose outputs have variance 1 where the inputs have;
    written so, all samples share one convolution.
    """

    def __init__(self, style: int, convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.style = nn.Linear(style, convolution.in_channels)
        nn.init.normal_(self.style.weight, std=0.2 * style**-0.5)  # at first it changes little
        nn.init.ones_(self.style.bias)
        self.convolution = convolution
        self.turned = isinstance(convolution, nn.ConvTranspose2d)

    def forward(self, maps: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        """[N, out, H, W], or twice the sides."""
        loud = self.style(style)
        squares = self.convolution.weight.square().sum(dim=(2, 3))
        # Of a transposed convolution of stride 2 a quarter of the weights meets in a pixel; its weight is [in, out, kh, kw].
        norm = loud.square() @ (squares / 4 if self.turned else squares.T)
        found: torch.Tensor = self.convolution(maps * loud[:, :, None, None]) * (norm + 1e-8).rsqrt()[:, :, None, None]
        return found
