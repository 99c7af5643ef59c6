"""MNIST: handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, final

from annotated_types import Ge, Le

from models.data._download import Download, present
from models.data._idx import read_pair
from models.data._images import Motion, Scale, image_dataset
from pipeline.core import Dataset

# Mean and standard deviation of all pixels / 255 of the 60000 training images (0.13066, 0.30811), as they are published.
SCALE = Scale(full=255, mean=0.1307, std=0.3081)
# What a hand does to a digit. No mirror: a mirrored 2 is no digit.
MOTION = Motion(degrees=12, zoom=0.12, shear=0.15, shift=2)
BASE = "https://ossci-datasets.s3.amazonaws.com/mnist"


@final
@dataclass(frozen=True)
class Mnist:
    """Handwritten digits 0 to 9: `image` uint8 [N, 1, 28, 28] (0 is paper), `label` int64 [N].

    60000 training images, of which `validation` (stratified, always the same) are held out; the test split is the
    official t10k set of 10000 images by other writers.
    Source: Y. LeCun, C. Cortes, C. Burges, http://yann.lecun.com/exdb/mnist (1998), from PyTorch's mirror.
    """

    validation: Annotated[int, Ge(10), Le(30_000)] = 5_000
    """Samples held out of the training files."""

    licence: ClassVar[str] = "CC BY-SA 3.0 (as commonly stated; no licence file comes with the data)"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            url=f"{BASE}/train-images-idx3-ubyte.gz",
            file="train-images-idx3-ubyte.gz",
            sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            bytes=9_912_422,
        ),
        Download(
            url=f"{BASE}/train-labels-idx1-ubyte.gz",
            file="train-labels-idx1-ubyte.gz",
            sha256="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            bytes=28_881,
        ),
        Download(
            url=f"{BASE}/t10k-images-idx3-ubyte.gz",
            file="t10k-images-idx3-ubyte.gz",
            sha256="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            bytes=1_648_877,
        ),
        Download(
            url=f"{BASE}/t10k-labels-idx1-ubyte.gz",
            file="t10k-labels-idx1-ubyte.gz",
            sha256="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            bytes=4_542,
        ),
    )

    def files(self, root: Path) -> list[Path]:
        """The four IDX files under `root/mnist/files`: training images and labels, test images and labels."""
        return present(root, "mnist", self.downloads)

    def load(self, root: Path) -> Dataset:
        """Reads the four files."""
        train_images, train_labels, test_images, test_labels = self.files(root)
        train = read_pair(train_images, train_labels, (28, 28), classes=10)
        test = read_pair(test_images, test_labels, (28, 28), classes=10)
        return image_dataset("mnist", train, test, self.validation, SCALE, MOTION)
