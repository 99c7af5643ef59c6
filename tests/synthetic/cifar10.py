"""Made-up CIFAR-10: a colour is a class. 60 images to train beside the 5000 held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write(root: Path) -> None:
    """Six batches in `root/cifar10/files/cifar-10-batches-bin`."""
    folder = root / "cifar10/files/cifar-10-batches-bin"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        count = 40 if name == "test_batch.bin" else 1_012
        label = np.arange(count, dtype=np.uint8) % 10
        colour = label[:, None] // np.array([1, 3, 9], np.uint8) % 3 * 90  # three levels of red, green and blue: 27 colours
        image = rng.integers(0, 64, (count, 3, 1024), dtype=np.uint8) + colour.astype(np.uint8)[:, :, None]
        (folder / name).write_bytes(np.hstack([label[:, None], image.reshape(count, -1)]).tobytes())
