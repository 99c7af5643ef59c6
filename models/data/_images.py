"""What the image data sets share: the split, the standardised input, the augmentation, the digest."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.core import Arrays, Dataset, Domain, TensorSpec
from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch

SPLIT_SEED = 20240229
"""Of every split drawn here. Another value is another validation set: figures before and after would not compare."""


@dataclass(frozen=True)
class Scale:
    """How raw pixels become inputs: `(raw / full - mean) / std`, with fixed constants, so that a device needs no statistics."""

    full: float
    """The raw value of full brightness."""
    mean: float
    std: float

    @property
    def background(self) -> float:
        """The prepared value of a raw 0."""
        return -self.mean / self.std

    @property
    def full_brightness(self) -> float:
        """The prepared value of the largest raw one."""
        return (1 - self.mean) / self.std


@dataclass(frozen=True)
class Motion:
    """The largest changes that `random_affine` makes, each drawn uniformly and to both sides."""

    degrees: float = 0.0
    zoom: float = 0.0
    """Change of the size, as a fraction."""
    shear: float = 0.0
    """Pixels to the side for each pixel of height."""
    shift: int = 0
    """Whole pixels, so that a motion of shift and flip alone does not blur."""
    flip: bool = False
    """Mirror left and right half of the time."""


def image_dataset(name: str, train: Arrays, test: Arrays, validation: int, scale: Scale, motion: Motion) -> Dataset:
    """A data set of `image` uint8 [N, C, H, W] and `label` int64 [N] in 10 classes; `validation` samples leave `train`."""
    held, kept = held_out(train, validation, f"{name}: validation")
    return Dataset(
        domain=Domain(
            name,
            {"image": TensorSpec((1, *train["image"].shape[1:]))},
            classes=10,
            pixels=(scale.background, scale.full_brightness),
        ),
        splits={"train": kept, "validation": held, "test": test},
        sha256=digest(kept),
        prepare=partial(standardise, scale=scale),
        augment=partial(random_affine, motion=motion, background=scale.background),
    )


def held_out(samples: Arrays, count: int, what: str) -> tuple[Arrays, Arrays]:
    """A stratified random subset of `count` samples, and the rest; both keep the order of the files.

    The same on every machine and under every numpy: it comes from the bit generator's raw stream, which numpy keeps fixed,
    and not from a Generator's methods, which it may change (NEP 19). Classes get their seats by Sainte-Lague's method (the
    same share of each, rounded), so that a smaller subset is contained in a larger one.
    """
    label = samples["label"]
    if count >= len(label):
        raise UserError(f"{what} = {count} samples, but only {len(label)} are there to take them from")
    keys = np.random.PCG64(SPLIT_SEED).random_raw(len(label))
    order = np.lexsort((keys, label))  # class by class, shuffled inside a class
    sizes = np.bincount(label)
    grouped = label[order]
    rank = np.arange(len(label)) - (np.cumsum(sizes) - sizes)[grouped]
    # Where a sample stands in its class, from 0 to 1: every beginning of this order has the classes in proportion.
    position = (rank + 0.5) / sizes[grouped]
    chosen = np.zeros(len(label), dtype=bool)
    chosen[order[np.argsort(position, kind="stable")[:count]]] = True
    return _pick(samples, chosen), _pick(samples, ~chosen)


def standardise(batch: Arrays, scale: Scale) -> Arrays:
    """Raw `image` to float32 of mean 0 and standard deviation 1 over the training set; all else passes through."""
    image = batch["image"].astype(np.float32)
    image *= np.float32(1 / (scale.full * scale.std))
    image += np.float32(scale.background)
    return {**batch, "image": image}


def random_affine(
    batch: dict[str, torch.Tensor], generator: torch.Generator, motion: Motion, background: float
) -> dict[str, torch.Tensor]:
    """Rotates, scales, shears, shifts and mirrors each prepared square `image` [N, C, S, S] by its own random amounts.

    What comes in from outside is background. Random numbers come from `generator` alone, on its own device, so that
    training on a GPU draws the same ones; the images are resampled (bilinear) on the device where they are.
    """
    import torch
    from torch.nn import functional

    image = batch["image"]
    drawn = torch.rand((6, len(image)), generator=generator, device=generator.device).to(image.device)
    angle, zoom, shear = 2 * drawn[:3] - 1
    angle, zoom, shear = angle * math.radians(motion.degrees), 1 + zoom * motion.zoom, shear * motion.shear
    pixels = (drawn[3:5] * (2 * motion.shift + 1)).floor() - motion.shift
    right, down = pixels * (2 / image.shape[-1])  # affine_grid's axes run from -1 to 1
    mirror = torch.where(drawn[5] < 0.5, -1.0, 1.0) if motion.flip else torch.ones_like(angle)
    # Maps places of the result to places of the image: x = mirror * (cos, cos * shear - sin) / zoom, y alike.
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    rows = (cos * mirror, cos * shear - sin, right, sin * mirror, sin * shear + cos, down)
    grid = functional.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(image.shape), align_corners=False)
    # grid_sample fills with 0, so the background has to be 0 while it runs.
    moved = functional.grid_sample(image - background, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return {**batch, "image": moved + background}


def digest(arrays: Arrays) -> str:
    """The sha256 of some arrays: name, dtype, shape and bytes of each, in their order."""
    found = hashlib.sha256()
    for name, array in arrays.items():
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _pick(samples: Arrays, chosen: NDArray[np.bool_]) -> Arrays:
    return {name: array[chosen] for name, array in samples.items()}
