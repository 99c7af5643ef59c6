"""Made-up clothes and digits: bars that lie are normal, as in the made-up Fashion-MNIST; bars that stand are anomalies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.synthetic import _idx


def write(root: Path) -> None:
    """The eight files in `root/fashion_mnist/files` and `root/mnist/files`; the latter hold 100 and 40 images."""
    _idx.bars(root / "fashion_mnist/files")
    rng = np.random.default_rng(1)
    for part, count in (("train", 100), ("t10k", 40)):
        image, label = _idx.noise(rng, count)
        image[:, 6:22, 3::5] += np.uint8(200)
        _idx.save(root / "mnist/files", part, image, label)
