"""Made-up images in the four gzipped IDX files of MNIST and Fashion-MNIST."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np


def bars(folder: Path) -> None:
    """A bar at one of five heights, bright or dim, is a class: 60 images to train beside the 5000 held out, 40 to test."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 5_060), ("t10k", 40)):
        image, label = noise(rng, count)
        for kind in range(10):
            top = 2 + 5 * (kind // 2)
            image[label == kind, top : top + 4, 6:22] += np.uint8(200 if kind % 2 else 90)
        save(folder, part, image, label)


def noise(rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """Dark images uint8 [count, 28, 28] and labels that go round."""
    return rng.integers(0, 32, (count, 28, 28), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 10


def save(folder: Path, part: str, image: Any, label: Any) -> None:
    """The two files of a part."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ((f"{part}-images-idx3-ubyte.gz", image), (f"{part}-labels-idx1-ubyte.gz", label)):
        header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / name).write_bytes(gzip.compress(header + array.tobytes(), compresslevel=1, mtime=0))
