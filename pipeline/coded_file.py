"""A file whose clustered weights are coded: what travels instead of it, and gives it back to the byte.

Where a file holds arrays of few distinct values (`cluster`), they are cut out and coded (entropy_coder.py); what is left, the
graph and its names, is compressed by LZMA. That works for every format that keeps such an array in one piece of float32, in
any order of its dimensions. The idea is Deep Compression's third step (Han, Mao & Dally 2016, arXiv:1510.00149).

    "EPC1", crc32 of the rest (4 bytes, big-endian), the numbers of the header, the rest by LZMA, the arrays' stream

Numbers are varints (LEB128). The header: bytes of the file, bytes of the rest before and after LZMA, number of arrays; each
array's distance from the end of the one before, rows, columns, nonzeros, number of distinct nonzero values, 2 or 4 for their
bytes, and the values. Decoding needs numpy and the standard library.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from pipeline.core import Array
from pipeline.entropy_coder import Coder, code_tensor
from pipeline.errors import UserError

MAGIC = b"EPC1"
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 24}]
VALUES = 256
"""Distinct nonzero values that an array may have."""
LEAST = 32
"""Weights; in a shorter array the codebook costs more than it saves."""
LIMIT = 1 << 30
"""Bytes of the largest file that is decoded unless it is said otherwise."""


@dataclass(frozen=True)
class _Hole:
    """An array in a file: where it starts, its shape as rows and columns, and its distinct nonzero values as uint32."""

    start: int
    rows: int
    columns: int
    nonzero: int
    codebook: Array

    @property
    def end(self) -> int:
        return self.start + 4 * self.rows * self.columns


def encode(data: bytes, arrays: Iterable[Array]) -> bytes | None:
    """The coded file of `data`; None when it holds none of the float32 `arrays` with few distinct values."""
    holes = _holes(data, arrays)
    if not holes:
        return None
    coder, header, rest, end = Coder(), bytearray(), bytearray(), 0
    for hole in holes:
        words = np.frombuffer(data, "<u4", hole.rows * hole.columns, hole.start)
        numbers = np.where(words == 0, 0, np.searchsorted(hole.codebook, words) + 1)
        code_tensor(coder, hole.rows, hole.columns, hole.nonzero, len(hole.codebook), numbers.tolist())
        rest += data[end : hole.start]
        kind, values = _packed(hole.codebook)
        for number in (hole.start - end, hole.rows, hole.columns, hole.nonzero, len(hole.codebook), kind):
            header += _varint(number)
        header += values
        end = hole.end
    rest += data[end:]
    packed = lzma.compress(bytes(rest), lzma.FORMAT_RAW, filters=FILTERS)
    sizes = b"".join(map(_varint, (len(data), len(rest), len(packed), len(holes))))
    body = sizes + bytes(header) + packed + coder.end()
    return MAGIC + zlib.crc32(body).to_bytes(4, "big") + body


def decode(coded: bytes, limit: int = LIMIT) -> bytes:
    """The file that was coded. UserError for anything that is no whole coded file, and for one of more than `limit` bytes."""
    if coded[:4] != MAGIC:
        raise UserError(f"coded file: starts with {coded[:4]!r}, expected {MAGIC!r}")
    body = coded[8:]
    if zlib.crc32(body) != int.from_bytes(coded[4:8], "big"):
        raise UserError(f"coded file: its {len(coded)} bytes do not match their checksum: damaged or cut short")
    reader = _Reader(body)
    size, left, packed, count = (reader.varint() for _ in range(4))
    if size > limit:
        raise UserError(f"coded file: says that it holds {size:,} bytes; at most {limit:,} are allowed")
    holes = _read_holes(reader, count, size)
    if left != size - sum(hole.end - hole.start for hole in holes):
        raise UserError(f"coded file: {left:,} bytes beside the arrays do not make {size:,} with them")
    rest = _unpacked(reader.take(packed), left)
    coder, parts, used, end = Coder(body[reader.place :]), list[bytes](), 0, 0
    for hole in holes:
        numbers = code_tensor(coder, hole.rows, hole.columns, hole.nonzero, len(hole.codebook), None)
        codebook = np.concatenate([np.zeros(1, "<u4"), hole.codebook]).astype("<u4")
        parts += [rest[used : used + hole.start - end], codebook[np.array(numbers, np.int64)].tobytes()]
        used += hole.start - end
        end = hole.end
    coder.end()
    return b"".join([*parts, rest[used:]])


def _holes(data: bytes, arrays: Iterable[Array]) -> list[_Hole]:
    """Where the arrays are in the file, in its order; each place once, the largest arrays first."""
    found: list[_Hole] = []
    for array in sorted(arrays, key=lambda each: -each.size):
        codebook = few_values(array)
        if codebook is None:
            continue
        for axes in permutations(range(array.ndim)):
            turned = np.ascontiguousarray(array.transpose(axes), "<f4")
            start = data.find(turned.tobytes())
            columns = array.size // turned.shape[0]
            hole = _Hole(start, turned.shape[0], columns, int(np.count_nonzero(turned.view("<u4"))), codebook)
            if start >= 0 and all(hole.end <= other.start or other.end <= hole.start for other in found):
                found.append(hole)
                break
    return sorted(found, key=lambda hole: hole.start)


def few_values(array: Array) -> Array | None:
    """The distinct bit patterns (uint32, ascending) of a float32 array but that of 0.0; None where coding would not pay."""
    if array.dtype != np.float32 or array.size < LEAST or array.ndim > 5:
        return None
    words = np.unique(np.ascontiguousarray(array).view("<u4"))
    words = words[words != 0]
    return words if 0 < len(words) <= min(VALUES, array.size // 4) else None


def _packed(codebook: Array) -> tuple[int, bytes]:
    """2 and the values as float16 where that loses nothing, else 4 and the values as they are."""
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is found by comparing
        halves = codebook.view("<f4").astype("<f2")
        same = np.array_equal(halves.astype("<f4").view("<u4"), codebook)
    return (2, halves.tobytes()) if same else (4, codebook.astype("<u4").tobytes())


def _read_holes(reader: _Reader, count: int, size: int) -> list[_Hole]:
    holes, end = list[_Hole](), 0
    for index in range(count):
        gap, rows, columns, nonzero, values, kind = (reader.varint() for _ in range(6))
        start = end + gap
        end = start + 4 * rows * columns
        if not (end <= size and 0 < nonzero <= rows * columns and 0 < values <= VALUES and kind in (2, 4)):
            raise UserError(
                f"coded file: array {index + 1} of {rows} x {columns} at byte {start}, {nonzero} of it not zero, "
                f"{values} values of {kind} bytes, is none that fits a file of {size:,} bytes"
            )
        raw = reader.take(kind * values)
        codebook = np.frombuffer(raw, "<f2").astype("<f4").view("<u4") if kind == 2 else np.frombuffer(raw, "<u4")
        holes.append(_Hole(start, rows, columns, nonzero, codebook))
    return holes


def _unpacked(packed: bytes, size: int) -> bytes:
    """LZMA's output, never more than is expected."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=FILTERS)
    try:
        rest = decompressor.decompress(packed, size + 1)
    except lzma.LZMAError as error:
        raise UserError(f"coded file: what is beside the arrays cannot be decompressed ({error})") from error
    if len(rest) != size or not decompressor.eof:
        raise UserError(f"coded file: {size:,} bytes should be beside the arrays, found {len(rest):,} and then no end")
    return rest


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


class _Reader:
    """Takes a header apart; UserError where it ends too early."""

    def __init__(self, body: bytes) -> None:
        self.body, self.place = body, 0

    def take(self, count: int) -> bytes:
        if count > len(self.body) - self.place:
            raise UserError(f"coded file: {count:,} bytes expected at byte {self.place + 8}, and it ends before that")
        self.place += count
        return self.body[self.place - count : self.place]

    def varint(self) -> int:
        number = 0
        for shift in range(0, 63, 7):
            (byte,) = self.take(1)
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise UserError(f"coded file: a number of more than nine bytes at byte {self.place + 8}")
