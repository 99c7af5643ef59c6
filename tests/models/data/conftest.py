from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Write = Callable[[Path, NDArray[Any]], None]


@pytest.fixture(scope="session")
def write_idx() -> Write:
    """Writes an array as an IDX .gz of unsigned bytes."""

    def write(path: Path, array: NDArray[Any]) -> None:
        header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))

    return write
