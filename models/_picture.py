"""What a family of pictures must know of its data, and the line for data that have none."""

from __future__ import annotations

from pipeline.core import Domain
from pipeline.errors import UserError


def shape_of(domain: Domain, who: str, divisor: int = 1, *, labelled: bool = False, least: int = 1) -> tuple[int, int, int]:
    """Channels, height and width. UserError for what is no picture, has no classes, or has sides that do not fit."""
    if domain.pixels is None or (labelled and not domain.classes):
        raise UserError(f"{who}: {domain.name} has no {'labelled ' if labelled else ''}pictures")
    (spec,) = domain.inputs.values()
    _, channels, height, width = spec.shape
    if height % divisor or width % divisor or min(height, width) < least:
        at_least = f" of at least {least}" if least > 1 else ""
        raise UserError(f"{who}: pictures of {height}x{width} px do not fit; sides{at_least} that {divisor} divides do")
    return channels, height, width
