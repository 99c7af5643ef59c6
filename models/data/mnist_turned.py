"""MNIST from another domain: the same digits, turned by quarters and inverted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, final

import numpy as np
from annotated_types import Ge, Le

from models.data._idx import read_pair
from models.data._images import image_dataset, random_affine
from models.data.mnist import MOTION, SCALE, Mnist
from pipeline.core import Arrays, Dataset


@final
@dataclass(frozen=True)
class MnistTurned:
    """MNIST's images and labels in its splits, each image turned against the clock and inverted: `image` uint8 [N, 1, 28, 28].

    Inputs are scaled with MNIST's own constants, as a device would that knows nothing of the change. For adapting a model
    that was trained on `mnist`.
    Source: the files of the data set `mnist` (LeCun et al., 1998), which says where they come from.
    """

    turns: Annotated[int, Ge(0), Le(3)] = 1
    """Quarter turns."""
    inverted: bool = True
    """Whether 0 is ink and 255 paper."""
    validation: Annotated[int, Ge(10), Le(30_000)] = 5_000
    """Samples held out of the training files."""

    licence: ClassVar[str] = Mnist.licence
    made_of: ClassVar[tuple[str, ...]] = ("mnist",)
    """The data set whose files it reads: it has none of its own."""
    downloads: ClassVar[tuple[()]] = ()

    def files(self, root: Path) -> list[Path]:
        """MNIST's four files."""
        return Mnist().files(root)

    def load(self, root: Path) -> Dataset:
        """Reads the four files and changes the images."""
        train_images, train_labels, test_images, test_labels = self.files(root)
        train, test = (
            self._changed(read_pair(images, labels, (28, 28), classes=10))
            for images, labels in ((train_images, train_labels), (test_images, test_labels))
        )
        data = image_dataset("mnist_turned", train, test, self.validation, SCALE, MOTION)
        paper = (1 - SCALE.mean) / SCALE.std if self.inverted else SCALE.background
        return replace(data, augment=partial(random_affine, motion=MOTION, background=paper))

    def _changed(self, samples: Arrays) -> Arrays:
        image = np.rot90(samples["image"], self.turns, axes=(2, 3))
        return {**samples, "image": np.ascontiguousarray(255 - image if self.inverted else image)}
