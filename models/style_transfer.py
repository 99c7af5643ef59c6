"""Style transfer by a network: one pass paints a picture's content in a style that is learnt from one pattern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast, final

import torch
from annotated_types import Ge, Gt
from torch import nn

from models import _perception, _style
from models._batch import only_input
from models._eye import shape_for
from models.tasks.stylization import Stylization
from pipeline.core import Domain, Family, Graph, Train

STEEP = 4.0
"""A sigmoid of so much times the brightness is as steep as the brightness is, in the middle."""
BORDER: dict[str, Any] = {"padding": 1, "padding_mode": "reflect"}
"""Beyond its border a picture is mirrored: zeros would tell where it ends, and frames be painted there."""


@final
@dataclass(frozen=True)
class StyleTransfer(Family):
    """Convolutions, the middle ones at half of the picture's size, from a picture to the same picture in the style of another.

    Minimises style_weight S + content_weight C in the features of our own classifier, the eye for the data (models/_eye.py),
    which is needed for training alone: S compares which features are found together in each window (Gram matrices) with the
    style's picture, C which are found where with the given one. Source: J. Johnson et al., "Perceptual losses for real-time style
    transfer and super-resolution" (2016, arXiv:1603.08155), whose Gram matrices are of the whole.
    It does not pay for a single picture: whoever has an hour changes its pixels themselves (L. Gatys et al. 2016).
    """

    style: _style.Style = "waves"
    """The pattern (models/_style.py)."""
    style_weight: Annotated[float, Ge(0)] = 5.0
    content_weight: Annotated[float, Ge(0)] = 1.0
    channels: Annotated[int, Gt(0)] = 32
    """Of the layers at half of the picture's size; those at its own have half."""
    blocks: Annotated[int, Ge(0)] = 3
    """Residual blocks."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the channels."""

    presets: ClassVar = {
        "quick": Train(epochs=3, batch=16, samples=2048, learning_rate=1e-3, augment=False),
        "full": Train(epochs=3, batch=16, learning_rate=1e-3, weight_decay=0.0, augment=False),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Picture [N, C, H, W] -> picture. UserError for what is none, has odd sides, or has no eye that looks at it."""
        colours, *_ = shape_for("resnet8", domain, "style_transfer", 2)
        assert domain.pixels is not None  # `shape_for` says so
        channels = max(2, round(self.channels * self.width))
        return Stylizer(domain.name, colours, channels, self.blocks, domain.pixels)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The pictures made, and what the eye loses of style and content in each: [N] both."""
        stylizer, given = cast("Stylizer", module), only_input(batch)
        made = stylizer(given)
        with torch.no_grad():
            before = _perception.seen(stylizer.data, given)
        after = _perception.seen(stylizer.data, made)
        goal = _perception.wanted(stylizer.data, self.style, given, stylizer.pixels)
        return {
            "made": made,
            "style": _perception.style_loss(after, goal),
            "content": _perception.content_loss(after, before),
        }

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Both, weighed, a picture."""
        return self.style_weight * outputs["style"].mean() + self.content_weight * outputs["content"].mean()

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The network alone; the eye stays where it was trained."""
        return {"stylizer": Graph(module, domain.inputs, ("stylized",))}

    def task(self, domain: Domain) -> Stylization:
        """What is left of the distance in style, and whether the eye still knows what it sees."""
        assert domain.pixels is not None  # `build` says so
        (name,) = domain.inputs
        return Stylization("stylizer", domain.name, self.style, name, *domain.pixels)


class Stylizer(nn.Module):
    """Prepared pictures [N, C, H, W] -> pictures of which every pixel can be shown: the given one, changed before a sigmoid."""

    def __init__(self, data: str, colours: int, channels: int, blocks: int, pixels: tuple[float, float]) -> None:
        super().__init__()
        self.data, self.pixels = data, pixels
        outer = max(1, channels // 2)
        last = nn.Conv2d(outer, colours, 3, **BORDER)
        with torch.no_grad():
            last.weight.mul_(0.1)  # training begins near the given picture: from far away no gradient leads back to it
        self.body = nn.Sequential(
            *_normalised(nn.Conv2d(colours, outer, 3, bias=False, **BORDER)),
            nn.ReLU(),
            *_normalised(nn.Conv2d(outer, channels, 2, 2, bias=False)),
            nn.ReLU(),
            *(Residual(channels) for _ in range(blocks)),
            nn.Upsample(scale_factor=2),  # a transposed convolution would paint a chequer
            *_normalised(nn.Conv2d(channels, outer, 3, bias=False, **BORDER)),
            nn.ReLU(),
            last,
        )

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """The picture in the style."""
        dark, bright = self.pixels
        brightness = (picture - dark) / (bright - dark)
        return dark + (bright - dark) * torch.sigmoid(STEEP * (brightness - 0.5) + self.body(picture))


class Residual(nn.Module):
    """x + two convolutions of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, bias=False, **BORDER) for _ in range(2))
        self.body = nn.Sequential(*_normalised(first), nn.ReLU(), *_normalised(second))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, h, w], the same shape."""
        found: torch.Tensor = x + self.body(x)
        return found


def _normalised(convolution: nn.Conv2d) -> tuple[nn.Module, nn.Module]:
    """Of its batch, as in the source: without, the network learns one frame for all pictures."""
    return convolution, nn.BatchNorm2d(convolution.out_channels)
