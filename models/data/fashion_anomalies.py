"""Anomalies among clothes: Fashion-MNIST is normal, digits and damaged pictures of clothes are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, final

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from models.data._idx import read_pair
from models.data._images import SPLIT_SEED, digest, held_out, standardise
from models.data.fashion_mnist import SCALE, FashionMnist
from models.data.mnist import Mnist
from pipeline.core import Arrays, Dataset, Domain, TensorSpec

Images = NDArray[np.uint8]
"""[N, 1, 28, 28]."""


@final
@dataclass(frozen=True)
class FashionAnomalies:
    """Train on clothes alone, then tell clothes from what is none: `image` uint8 [N, 1, 28, 28], `kind` int64 [N].

    `kind` counts through `models.tasks.anomaly.KINDS`: 0 normal, 1 a digit of MNIST, then clothes with one damage each (see
    `DAMAGES`). Train: Fashion-MNIST's training images without `held`. Validation: those `held` and as many of MNIST's
    training images. Test: `judged` of Fashion-MNIST's t10k images, as many of MNIST's, and half as many of each damage, on
    further t10k images of clothes that no other kind shows. Validation and test are shuffled, always alike; a file that
    holds fewer images gives what it has.
    Source: the files of the data sets `fashion_mnist` (Xiao et al., 2017) and `mnist` (LeCun et al., 1998), which says
    where they come from; the damages after D. Hendrycks, T. Dietterich, "Benchmarking Neural Network Robustness to Common
    Corruptions and Perturbations" (2019).
    """

    held: Annotated[int, Ge(10), Le(10_000)] = 2_500
    """Normal images held out of the training files for validation."""
    judged: Annotated[int, Ge(10), Le(2_500)] = 2_500
    """Normal images of the test split."""

    licence: ClassVar[str] = f"as its parts: {FashionMnist.licence}; {Mnist.licence}"
    made_of: ClassVar[tuple[str, ...]] = ("fashion_mnist", "mnist")
    """The data sets whose files it reads: it has none of its own."""
    downloads: ClassVar[tuple[()]] = ()

    def files(self, root: Path) -> list[Path]:
        """Fashion-MNIST's four files and MNIST's four images and labels, where those data sets have them."""
        return [*FashionMnist().files(root), *Mnist().files(root)]

    def load(self, root: Path) -> Dataset:
        """Reads the eight files and damages some images."""
        files = self.files(root)
        clothes, clothes_test, digits, digits_test = (
            read_pair(image, label, (28, 28), classes=10) for image, label in zip(files[::2], files[1::2], strict=True)
        )
        normal, train = held_out(clothes, self.held, "fashion_anomalies: held")
        splits = {
            "train": _kind(0, train["image"]),
            "validation": _shuffled([_kind(0, normal["image"]), _kind(1, _some(digits, self.held))]),
            "test": _shuffled([*_test_clothes(clothes_test["image"], self.judged), _kind(1, _some(digits_test, self.judged))]),
        }
        domain = Domain("fashion_anomalies", {"image": TensorSpec((1, 1, 28, 28))})
        return Dataset(domain, splits, digest(splits["train"]), prepare=partial(standardise, scale=SCALE))


def noise(image: Images) -> Images:
    """Gaussian noise with a standard deviation of 0.15 of full brightness on every pixel."""
    # Twelve uniform numbers have a variance of 1; the bit generator's raw stream is the same under every numpy (NEP 19).
    raw = np.random.PCG64(SPLIT_SEED).random_raw(image.size * 3)
    uniform = raw.view(np.uint16).reshape(12, *image.shape) / np.float32(2**16)
    noisy: Images = np.clip(np.rint(image + 0.15 * 255 * (uniform.sum(axis=0) - 6)), 0, 255).astype(np.uint8)
    return noisy


def blur(image: Images) -> Images:
    """The mean of 5x5 pixels, with black around the picture."""
    padded = np.pad(image.astype(np.uint16), ((0, 0), (0, 0), (2, 2), (2, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(2, 3))
    blurred: Images = (windows.sum(axis=(4, 5)) // 25).astype(np.uint8)
    return blurred


def occlusion(image: Images) -> Images:
    """A black square of 12x12 pixels in the middle."""
    covered = image.copy()
    covered[:, :, 8:20, 8:20] = 0
    return covered


def pixelation(image: Images) -> Images:
    """7x7 blocks of 4x4 pixels, each at its mean."""
    blocks: Images = image.reshape(len(image), 1, 7, 4, 7, 4).mean(axis=(3, 5)).astype(np.uint8)
    return blocks.repeat(4, axis=2).repeat(4, axis=3)


def inversion(image: Images) -> Images:
    """Black is white and white is black."""
    return (255 - image).astype(np.uint8)


DAMAGES: tuple[Callable[[Images], Images], ...] = (noise, blur, occlusion, pixelation, inversion)
"""In the order of their kinds, from 2 on."""


def _test_clothes(image: Images, judged: int) -> list[Arrays]:
    """The t10k images in their order: the normal ones, then a share for each damage."""
    judged = min(judged, 2 * len(image) // (2 + len(DAMAGES)))
    share = judged // 2
    normal, rest = image[:judged], image[judged:]
    parts = [rest[index * share : (index + 1) * share] for index in range(len(DAMAGES))]
    damaged = [_kind(kind, damage(part)) for kind, (damage, part) in enumerate(zip(DAMAGES, parts, strict=True), start=2)]
    return [_kind(0, normal), *damaged]


def _some(samples: Arrays, count: int) -> Images:
    image: Images = samples["image"][:count]
    return image


def _kind(kind: int, image: Images) -> Arrays:
    return {"image": image, "kind": np.full(len(image), kind, np.int64)}


def _shuffled(parts: list[Arrays]) -> Arrays:
    """All parts in an order that mixes them, the same on every machine: whoever takes the first few gets every kind."""
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(np.random.PCG64(SPLIT_SEED).random_raw(len(whole["kind"])), kind="stable")
    return {name: array[order] for name, array in whole.items()}
