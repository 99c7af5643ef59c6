"""Made-up MNIST: a bar at one of five heights, bright or dim, is a class. 60 images to train beside the 5000 held out."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np


def write(root: Path) -> None:
    """The four files in `root/mnist/files`."""
    write_idx(root / "mnist/files")


def write_idx(folder: Path) -> None:
    """5060 training and 40 test images of 28x28 with their labels, as gzipped IDX files."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 5_060), ("t10k", 40)):
        label = np.arange(count, dtype=np.uint8) % 10
        image = rng.integers(0, 32, (count, 28, 28), dtype=np.uint8)
        for kind in range(10):
            top = 2 + 5 * (kind // 2)
            image[label == kind, top : top + 4, 6:22] += np.uint8(200 if kind % 2 else 90)
        for name, array in ((f"{part}-images-idx3-ubyte.gz", image), (f"{part}-labels-idx1-ubyte.gz", label)):
            header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / name).write_bytes(gzip.compress(header + array.tobytes(), compresslevel=1, mtime=0))
