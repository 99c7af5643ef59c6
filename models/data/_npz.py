"""Reads the plain arrays of a .npz file without trusting it: no pickles, and nothing is allocated that the file does not hold."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.core import Array, Arrays
from pipeline.errors import UserError

MOST_BYTES = 1 << 28
"""Unpacked arrays beyond 256 MiB are refused."""
KINDS = {"integers": "iu", "numbers": "iuf"}


def read(path: Path, expected: Mapping[str, tuple[str, int]]) -> Arrays:
    """The arrays by name; `expected` says what each holds ("integers" or "numbers") and in how many dimensions."""
    try:
        with zipfile.ZipFile(path) as file:
            return {name: _member(path, file, name, *kind) for name, kind in expected.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:  # the last: "is encrypted"
        raise UserError(f"{path}: damaged ({error}), expected a .npz file with arrays {', '.join(expected)}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}), expected a .npz file") from error


def _member(path: Path, file: zipfile.ZipFile, name: str, holds: str, dimensions: int) -> Array:
    try:
        info = file.getinfo(f"{name}.npy")
    except KeyError:
        found = ", ".join(sorted(each.removesuffix(".npy") for each in file.namelist()))
        raise UserError(f"{path}: array {name!r} is missing, found {found or 'none'}") from None
    if info.file_size > MOST_BYTES:
        raise UserError(f"{path}: array {name!r} declares {info.file_size} bytes, expected at most {MOST_BYTES}")
    with file.open(info) as stream:
        content = stream.read(MOST_BYTES + 1)
    return _array(f"{path}: array {name!r}", content, holds, dimensions)


def _array(where: str, content: bytes, holds: str, dimensions: int) -> Array:
    """The array in a .npy file's bytes; its header is checked against what really follows."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(stream)
    except ValueError as error:
        raise UserError(f"{where}: damaged header ({error}), expected numpy's .npy format") from error
    if dtype.kind not in KINDS[holds] or len(shape) != dimensions:
        raise UserError(f"{where}: found {dtype} in {len(shape)} dimensions, expected {holds} in {dimensions}")
    needed, left = math.prod(shape) * dtype.itemsize, len(content) - stream.tell()
    if needed != left:
        raise UserError(f"{where}: declares shape {list(shape)} of {dtype} ({needed} bytes), found {left} bytes")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")
