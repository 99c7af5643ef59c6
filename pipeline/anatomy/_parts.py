"""What is in an exported file, whatever its format: its operators, the constants that they read, and what became of them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.core import Array, Arrays
from pipeline.facts import shannon_bits

BITS = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "int64": 64, "int32": 32, "int16": 16, "uint16": 16} | {
    "int8": 8,
    "uint8": 8,
    "int4": 4,
    "uint4": 4,
    "int2": 2,
    "uint2": 2,
    "int1": 1,
    "bool": 8,
}


@dataclass(frozen=True)
class Weight:
    """A matrix or kernel as the file stores it: its numbers or its codes, unpacked."""

    values: Array
    stored: str
    """float32, int8, int4 ...; "sparse float32" where only what is not zero is stored."""
    zero: Array | int = 0
    """The code, or one a slice, that stands for 0."""

    @property
    def zeros(self) -> int:
        """How many of the values are 0."""
        return int(np.count_nonzero(self.values == self.zero))


@dataclass(frozen=True)
class Part:
    """An operator of a file."""

    name: str
    operator: str
    bytes: int = 0
    """Of all constants that it is the first to read, as stored, scales and zero points apart."""
    tables: int = 0
    """Of their scales and zero points."""
    weights: tuple[Weight, ...] = ()
    computed: str | None = None
    """The type that it multiplies or adds in; None where nothing says."""
    milliseconds: float | None = None
    """Of one call, by the runtime's own profiler."""


@dataclass(frozen=True)
class Ran:
    """What a runtime's profiler says of one operator of its own graph, and which operators of the file it does."""

    name: str
    operator: str
    parts: tuple[str, ...]
    computed: str | None
    milliseconds: float


class Reader(Protocol):
    """A module of this folder: one format, and its runtime on this machine."""

    RUNTIME: str
    """The runtime that `profile` asks."""

    def read(self, files: list[Path]) -> list[Part]:
        """The file's operators, in its order."""

    def profile(self, files: list[Path], inputs: Arrays, threads: int) -> list[Ran] | str:
        """What one call consists of, in the runtime's own graph; why that cannot be told."""

    def smallest(self, folder: Path) -> list[Path] | None:
        """The files of a graph of one operator on one number: what a call costs before anything is computed."""


def reader(form: str) -> Reader | None:
    """The module that looks into files of a format; None where there is none.

    >>> reader("onnx").RUNTIME, reader("torch")
    ('onnxruntime', None)
    """
    for stem in (form, f"{form}_"):
        if importlib.util.find_spec(f"pipeline.anatomy.{stem}"):
            module: Any = importlib.import_module(f"pipeline.anatomy.{stem}")
            return module  # type: ignore[no-any-return]  # a module is what fits the protocol
    return None


def weight(values: Array, stored: str, zero: Array | int = 0) -> Weight | None:
    """A constant that is more than a vector: weights, not a bias or a scale.

    >>> weight(np.zeros((1, 8, 1, 1)), "float32") is None, weight(np.zeros((4, 8)), "int8").zeros
    (True, 32)
    """
    numbers = stored.removeprefix("sparse ")
    if numbers in ("int64", "int32", "bool") or sum(size > 1 for size in values.shape) < 2:
        return None
    return Weight(values, stored, zero)


def packed_part(name: str, operator: str, file: bytes) -> Part:
    """An operator that is a packed network of +-1: its layers' bits, and beside them thresholds and scales."""
    from targets.kernels.layer import unpack
    from targets.kernels.network import Bits, Floats, read

    layers = [stage for stage in read(file) if isinstance(stage, Bits | Floats)]
    size = sum(each.weights.nbytes for each in layers)
    signs = (unpack(each.weights, each.shape.channels // each.shape.groups) for each in layers)
    return Part(name, operator, size, len(file) - size, tuple(Weight(each, "int1") for each in signs), "int1")


def unpacked(data: bytes | Array, bits: int, count: int) -> Array:
    """Codes of 1, 2 or 4 bits, the first in a byte's lowest bits, as uint8.

    >>> unpacked(bytes([0x21, 0x43]), 4, 3).tolist()
    [1, 2, 3]
    """
    octets = np.frombuffer(bytes(data), np.uint8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes: Array = (octets[:, None] >> shifts & ((1 << bits) - 1)).reshape(-1)[:count]
    return codes


def signed(codes: Array, bits: int) -> Array:
    """Codes in two's complement as numbers, int8.

    >>> signed(np.array([7, 8, 15], np.uint8), 4).tolist()
    [7, -8, -1]
    """
    numbers = codes.astype(np.int8)
    return np.where(numbers >= 1 << (bits - 1), numbers - (1 << bits), numbers).astype(np.int8)


def joined(parts: Sequence[Part], ran: Iterable[Ran]) -> list[Part]:
    """The file's operators with what the runtime made of them.

    Operators that the runtime does as one become one, under the name of that with the most weights; what it does besides (it
    moves data into another layout) is an operator without bytes.
    """
    left, found = {part.name: part for part in parts}, list[Part]()
    for each in ran:
        mine = [left.pop(name) for name in dict.fromkeys(each.parts) if name in left]
        if not mine:
            found.append(Part(each.name, each.operator, computed=each.computed, milliseconds=each.milliseconds))
            continue
        main = max(mine, key=lambda part: sum(weight.values.size for weight in part.weights))
        found.append(
            replace(
                main,
                bytes=sum(part.bytes for part in mine),
                tables=sum(part.tables for part in mine),
                weights=tuple(weight for part in mine for weight in part.weights),
                computed=each.computed,
                milliseconds=each.milliseconds,
            )
        )
    # What no operator of the runtime was named after was fused away, or computed when the file was loaded.
    return found + [part for part in left.values() if part.bytes or part.tables]


def coded_bytes(weight: Weight) -> float:
    """Bytes that a weight's codes take at best where each is coded by how often it comes."""
    codes = weight.values - weight.zero if np.any(weight.zero) else weight.values
    return shannon_bits(codes, BITS.get(weight.stored.split()[-1], 32)) * codes.size / 8


def few_values(weight: Weight) -> bool:
    """Whether the weight holds so few distinct values that they make a codebook."""
    return bool(len(np.unique(weight.values)) <= min(256, weight.values.size // 4))
