"""Reads LeCun's IDX format, gzipped: `00 00 dtype dimensions`, the sizes as big-endian uint32, then the values.

Only unsigned bytes (dtype 08) are read: every IDX data set of images is stored so. A file is never trusted: its sizes are
checked before anything is allocated, and no more is decompressed than they declare.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core import Arrays
from pipeline.errors import UserError

UNSIGNED_BYTE = 0x08
MOST_BYTES = 1 << 30
"""Payloads beyond 1 GiB are refused: twenty times the largest data set read here."""
DEFLATE_RATIO = 1032
"""Deflate cannot shrink by more than this (258 bytes in 2 bits), so a small file that declares more is lying."""


def read(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The samples of a .gz file, uint8 [N, *shape]; a UserError in one line for a file that is anything else."""
    try:
        with path.open("rb") as file, gzip.GzipFile(fileobj=file) as stream:
            if (start := file.read(2)) != b"\x1f\x8b":
                raise UserError(f"{path}: starts with bytes '{start.hex(' ')}', expected gzip (1f 8b)")
            file.seek(0)
            sizes = _sizes(path, stream, shape)
            expected = math.prod(sizes)
            # One byte more tells trailing bytes from the end, and makes gzip verify its checksum at the end.
            payload = stream.read(expected + 1)
    except EOFError as error:
        raise UserError(f"{path}: gzip stream ends early at {path.stat().st_size} bytes, expected a complete file") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: damaged gzip stream ({error}), expected an intact file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}), expected an IDX .gz file") from error
    if len(payload) != expected:
        found = "more" if len(payload) > expected else str(len(payload))
        raise UserError(f"{path}: found {found} payload bytes, expected {expected} for declared sizes {list(sizes)}")
    return np.frombuffer(payload, np.uint8).reshape(sizes).copy()  # a copy, for what lies on `bytes` is read-only


def read_pair(images: Path, labels: Path, shape: tuple[int, int], classes: int) -> Arrays:
    """Grey images and their classes: `image` uint8 [N, 1, H, W] and `label` int64 [N], each 0 <= label < classes."""
    image, label = read(images, shape), read(labels, ())
    if len(image) != len(label):
        raise UserError(f"{images} holds {len(image)} images, but {labels} holds {len(label)} labels; expected as many of each")
    if label.max() >= classes:
        raise UserError(f"{labels}: found label {label.max()} at index {label.argmax()}, expected 0 to {classes - 1}")
    return {"image": image[:, None], "label": label.astype(np.int64)}


def _sizes(path: Path, stream: gzip.GzipFile, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The declared sizes, samples first: of the expected shape, and no more than the file can hold."""
    dimensions = 1 + len(shape)
    magic = bytes((0, 0, UNSIGNED_BYTE, dimensions))
    if (found := stream.read(4)) != magic:
        meaning = f"IDX of unsigned bytes in {dimensions} dimensions"
        raise UserError(f"{path}: found magic number '{found.hex(' ')}', expected '{magic.hex(' ')}' ({meaning})")
    header = stream.read(4 * dimensions)
    if len(header) != 4 * dimensions:
        raise UserError(f"{path}: found {len(header)} bytes of sizes, expected {4 * dimensions}")
    sizes = struct.unpack(f">{dimensions}I", header)
    most = min(MOST_BYTES, path.stat().st_size * DEFLATE_RATIO)
    if sizes[1:] != shape or not 0 < math.prod(sizes) <= most:
        expected = ", ".join(("N", *map(str, shape)))
        raise UserError(f"{path}: declares sizes {list(sizes)}, expected [{expected}] with 1 to {most} values in all")
    return sizes
