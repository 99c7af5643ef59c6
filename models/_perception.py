"""How alike pictures are to an eye (models/_eye.py): in style by what it finds together, in content by what it finds where."""

from __future__ import annotations

from typing import NamedTuple

import torch

from models import _style
from models._eye import eye

STYLE, CONTENT = (2, 3), 5
"""Parts of a ResNet-8: the first activation and the first stack of residuals, which see 3 and 7 pixels; the last stack."""


class Seen(NamedTuple):
    """What an eye makes of pictures."""

    style: tuple[torch.Tensor, ...]
    """Gram matrices of their windows, [N, windows, channels, channels] each."""
    content: torch.Tensor
    """[N, channels, h, w]."""
    logits: torch.Tensor
    """[N, classes]."""


def seen(data: str, pictures: torch.Tensor) -> Seen:
    """Prepared pictures [N, C, H, W] through the eye for these data; gradients pass."""
    layers = eye(data).to(pictures.device).layers(pictures)
    return Seen(tuple(gram(layers[each]) for each in STYLE), layers[CONTENT], layers[-1])


def wanted(data: str, style: _style.Style, like: torch.Tensor, pixels: tuple[float, float]) -> Seen:
    """What the eye makes of a style's picture, of the size of prepared pictures [N, C, H, W]."""
    dark, bright = pixels
    painted = torch.from_numpy(_style.picture(style, like.shape[2], like.shape[3], like.shape[1])).to(like)
    with torch.no_grad():
        return seen(data, (dark + (bright - dark) * painted)[None])


def style_loss(ours: Seen, goal: Seen) -> torch.Tensor:
    """[N]: squared differences of the windows' Gram matrices from the mean of the style's, over that; their mean.

    Compared as wholes, or in quarters, pictures come near to a style by a frame in strong colours around what they were.
    """
    wholes = [its.mean(1, keepdim=True).expand_as(its) for its in goal.style]
    return torch.stack([_relative(mine, its) for mine, its in zip(ours.style, wholes, strict=True)]).mean(0)


def content_loss(ours: Seen, theirs: Seen) -> torch.Tensor:
    """[N]: squared differences of what is found at each place, over what is found in the other picture."""
    return _relative(ours.content, theirs.content)


def gram(found: torch.Tensor) -> torch.Tensor:
    """Features [N, channels, h, w] -> [N, 9, channels, channels]: their mean products over the places of each window.

    A window has half of the sides, which 4 divides; three by three overlap, so that one of them lies in the middle.
    """
    height, width = found.shape[2:]
    windows = found.unfold(2, height // 2, height // 4).unfold(3, width // 2, width // 4)
    flat = windows.permute(0, 2, 3, 1, 4, 5).flatten(4).flatten(1, 2)
    return flat @ flat.transpose(2, 3) / flat.shape[3]


def _relative(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """|ours - theirs|^2 / |theirs|^2 of each row; `theirs` may have one for all."""
    return (ours - theirs).flatten(1).square().sum(1) / theirs.flatten(1).square().sum(1)
