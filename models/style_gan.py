"""Style-modulated generator: noise and a class become a style, and the style says how loud each channel of each layer is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, final

import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.nn import functional

from models._eye import shape_for
from models._game import GAME, Adversarial, Game
from pipeline.core import Domain, Train

SLOPE = 0.2
"""Of what is below 0, in the layers that make the style."""
RATE = 0.1
"""Times which the weights and biases of those layers and of the modulation count, so that they learn slower than the others. The
source has 0.01, of the layers that make the style."""
SMALLER: dict[str, Any] = {**GAME, "batch": 32, "learning_rate": 5e-4}
"""Steps of fewer pictures, twice as many of them: in the same time pictures come nearer to real ones."""


@final
@dataclass(frozen=True)
class StyleGAN(Adversarial):
    """A small map made of noise and a class, through convolutions that a style modulates; trained as `gan` is.

    The style is what other dense layers make of the same noise, scaled to a root mean square of 1, and class. Nothing random is
    added in the layers: what a call makes follows from its inputs. The source starts from one learned map for all pictures, and
    has no BatchNorm. Here, where channels are few and critic and generator learn in the same steps, the first made pictures that
    were too much alike, and without the second the brightness of all pictures runs away.
    Sources: T. Karras et al., "A style-based generator architecture for generative adversarial networks" (2019,
    arXiv:1812.04948); modulated convolutions, "Analyzing and improving the image quality of StyleGAN" (2020, arXiv:1912.04958).
    """

    channels: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (96, 48, 24)
    """Of the maps of a quarter, of half and of all of the picture's sides."""
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
        "quick": Train(epochs=6, samples=2048, **SMALLER),
        "full": Train(epochs=15, **SMALLER),
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
        first, second, third = channels
        colours, height, width = shape
        self.small = (first, height // 4, width // 4)
        self.dense = nn.Linear(units[0], first * self.small[1] * self.small[2])
        self.dense_norm = nn.BatchNorm2d(first)
        mapping = [nn.Linear(before, after) for before, after in pairwise(units)]
        for each in mapping:  # torch's own weights would let the noise fade on its way
            nn.init.kaiming_normal_(each.weight, SLOPE)
            slowed(each)
        self.mapping = nn.ModuleList(mapping)
        self.doubled = Modulated(units[-1], first, second)
        self.doubled_norm = nn.BatchNorm2d(second)
        self.whole = Modulated(units[-1], second, third)
        self.whole_norm = nn.BatchNorm2d(third)
        self.picture = nn.Conv2d(third, colours, 3, padding=1)

    def forward(self, latent: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W]."""
        given = torch.cat([latent * (latent.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt(), kind], dim=1)
        style = given
        for layer in self.mapping:
            style = functional.leaky_relu(RATE * layer(style), SLOPE)
        maps = functional.relu(self.dense_norm(self.dense(given).unflatten(1, self.small)))
        maps = functional.relu(self.doubled_norm(self.doubled(maps, style)))
        maps = functional.relu(self.whole_norm(self.whole(maps, style)))
        return torch.sigmoid(self.picture(maps))


def slowed(layer: nn.Linear) -> None:
    """Makes it so much larger that `RATE` times what it says is what it said. In place."""
    with torch.no_grad():
        layer.weight.div_(RATE)
        layer.bias.div_(RATE)


class Modulated(nn.Module):
    """A transposed convolution to twice the sides, x [N, in, H, W] * w [in, out, 4, 4], whose channels a style makes louder:

        y = d * (s x * w)
        s = RATE (A style + b) [N, in], 1 at first,  d = (s^2 @ a quarter of the sum over kh, kw of w^2 + 1e-8)^(-1/2) [N, out]

    which is the convolution with each sample's own weights s w / |s w|, whose outputs have variance 1 where the inputs have;
    written so, all samples share one convolution. A quarter, because of stride 2 so many of the weights meet in a pixel.
    """

    def __init__(self, style: int, channels: int, made: int) -> None:
        super().__init__()
        self.style = nn.Linear(style, channels)
        nn.init.normal_(self.style.weight, std=0.2 * style**-0.5)  # at first it changes little
        nn.init.ones_(self.style.bias)
        slowed(self.style)
        self.convolution = nn.ConvTranspose2d(channels, made, 4, 2, 1, bias=False)

    def forward(self, maps: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        """[N, out, 2H, 2W]."""
        loud = RATE * self.style(style)
        norm = loud.square() @ (self.convolution.weight.square().sum(dim=(2, 3)) / 4)
        found: torch.Tensor = self.convolution(maps * loud[:, :, None, None]) * (norm + 1e-8).rsqrt()[:, :, None, None]
        return found
