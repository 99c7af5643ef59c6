"""Fashion-MNIST: pieces of clothing, in the files and shapes of MNIST."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, final

from annotated_types import Ge, Le

from models.data._download import Download, present
from models.data._idx import read_pair
from models.data._images import Motion, Scale, image_dataset
from pipeline.core import Dataset

# Mean and standard deviation of all pixels / 255 of the 60000 training images (0.28604, 0.35302), as they are published.
SCALE = Scale(full=255, mean=0.2860, std=0.3530)
# Clothes lie straight and to scale in these pictures, and a mirrored shoe is a shoe.
MOTION = Motion(shift=2, flip=True)
BASE = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"


@final
@dataclass(frozen=True)
class FashionMnist:
    """Clothing in 10 kinds (T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot).

    `image` uint8 [N, 1, 28, 28] (0 is background), `label` int64 [N]. 60000 training images, of which `validation`
    (stratified, always the same) are held out; the test split is the official t10k set of 10000 images.
    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms" (2017), https://github.com/zalandoresearch/fashion-mnist.
    """

    validation: Annotated[int, Ge(10), Le(30_000)] = 5_000
    """Samples held out of the training files."""

    licence: ClassVar[str] = "MIT (Zalando SE)"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            url=f"{BASE}/train-images-idx3-ubyte.gz",
            file="train-images-idx3-ubyte.gz",
            sha256="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            bytes=26_421_880,
        ),
        Download(
            url=f"{BASE}/train-labels-idx1-ubyte.gz",
            file="train-labels-idx1-ubyte.gz",
            sha256="a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            bytes=29_515,
        ),
        Download(
            url=f"{BASE}/t10k-images-idx3-ubyte.gz",
            file="t10k-images-idx3-ubyte.gz",
            sha256="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            bytes=4_422_102,
        ),
        Download(
            url=f"{BASE}/t10k-labels-idx1-ubyte.gz",
            file="t10k-labels-idx1-ubyte.gz",
            sha256="67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            bytes=5_148,
        ),
    )

    def files(self, root: Path) -> list[Path]:
        """The four IDX files under `root/fashion_mnist/files`: training images and labels, test images and labels."""
        return present(root, "fashion_mnist", self.downloads)

    def load(self, root: Path) -> Dataset:
        """Reads the four files."""
        train_images, train_labels, test_images, test_labels = self.files(root)
        train = read_pair(train_images, train_labels, (28, 28), classes=10)
        test = read_pair(test_images, test_labels, (28, 28), classes=10)
        return image_dataset("fashion_mnist", train, test, self.validation, SCALE, MOTION)
