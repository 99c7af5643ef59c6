"""Made-up clothes and digits: bars that lie are normal, as in the made-up Fashion-MNIST; bars that stand are anomalies."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from tests.synthetic import fashion_mnist


def write(root: Path) -> None:
    """The eight files in `root/fashion_mnist/files` and `root/mnist/files`; the latter hold 100 and 40 images."""
    fashion_mnist.write(root)
    folder = root / "mnist/files"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for part, count in (("train", 100), ("t10k", 40)):
        label = np.arange(count, dtype=np.uint8) % 10
        image = rng.integers(0, 32, (count, 28, 28), dtype=np.uint8)
        image[:, 6:22, 3::5] += np.uint8(200)
        for name, array in ((f"{part}-images-idx3-ubyte.gz", image), (f"{part}-labels-idx1-ubyte.gz", label)):
            header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / name).write_bytes(gzip.compress(header + array.tobytes(), compresslevel=1, mtime=0))
