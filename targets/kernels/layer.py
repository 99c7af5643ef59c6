"""One layer of +-1 by the compiled kernels: bits in, bits or whole sums out."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from pipeline.core import Array
from pipeline.errors import UserError
from targets.kernels.build import library

MOST = 1 << 30
"""More than any side can be, and less than the library's numbers hold."""


@dataclass(frozen=True)
class Shape:
    """Of a convolution of +-1; a linear layer is one whose kernel is the whole image."""

    channels: int
    height: int
    width: int
    outputs: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    groups: int = 1

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of what comes out."""
        sides = zip((self.height, self.width), self.kernel, self.stride, self.pad, strict=True)
        high, wide = ((size + 2 * pad - kernel) // stride + 1 for size, kernel, stride, pad in sides)
        return high, wide

    @property
    def taps(self) -> tuple[int, int, int, int]:
        """The shape of its packed weights."""
        return (self.outputs, *self.kernel, -(-self.channels // self.groups // 8))

    def numbers(self) -> tuple[int, ...]:
        """As the library's `ep_shape` has them."""
        return tuple(number for field in astuple(self) for number in (field if isinstance(field, tuple) else (field,)))


class Layer:
    """Weights uint8 as `Shape.taps` says, thresholds int32 [outputs] or [out_height, out_width, outputs]: a bit is 1 where the
    sum is at least that.

    UserError for a shape that cannot be, and for an instruction set that does not work here.
    """

    def __init__(self, shape: Shape, weights: Array, thresholds: Array | None = None, instruction_set: str | None = None) -> None:
        self.shape = shape
        self._handle: int | None = None
        if instruction_set is not None and instruction_set not in instruction_sets():
            raise UserError(f"instruction set {instruction_set!r} does not work here (allowed: {', '.join(instruction_sets())})")
        packed = np.array([max(-1, min(number, MOST)) for number in shape.numbers()], np.int32)
        if not loaded().ep_possible(pointer(packed)):  # before arrays of such a size are touched
            raise UserError(f"no layer of +-1 can have {shape}")
        weights = _checked(weights, "weights", shape.taps, np.uint8)
        everywhere = thresholds is not None and thresholds.ndim == 3
        wanted = (*shape.output, shape.outputs) if everywhere else (shape.outputs,)
        limits = None if thresholds is None else _checked(thresholds, "thresholds", wanted, np.int32)
        chosen = instruction_set.encode() if instruction_set else None
        self._handle = loaded().ep_open(pointer(packed), pointer(weights), pointer(limits), int(everywhere), chosen)
        if not self._handle:
            raise UserError(f"there is not enough memory for a layer of +-1 of {shape}")

    def bits(self, inputs: Array) -> Array:
        """uint8 [height, width, ceil(channels / 8)] -> [out_height, out_width, ceil(outputs / 8)]."""
        found = np.empty((*self.shape.output, -(-self.shape.outputs // 8)), np.uint8)
        loaded().ep_bits(self._handle, pointer(self._inputs(inputs)), pointer(found))
        return found

    def sums(self, inputs: Array) -> Array:
        """uint8 [height, width, ceil(channels / 8)] -> int32 [outputs, out_height, out_width]."""
        found = np.empty((self.shape.outputs, *self.shape.output), np.int32)
        loaded().ep_sums(self._handle, pointer(self._inputs(inputs)), pointer(found))
        return found

    def _inputs(self, inputs: Array) -> Array:
        return _checked(inputs, "inputs", (self.shape.height, self.shape.width, -(-self.shape.channels // 8)), np.uint8)

    def __del__(self) -> None:
        if self._handle:
            loaded().ep_close(self._handle)


def pack(signs: Array) -> Array:
    """[..., channels] of numbers, those of at least 0 as bits of 1: uint8 [..., ceil(channels / 8)], the lowest bit first."""
    return np.packbits(signs >= 0, axis=-1, bitorder="little")


def unpack(bits: Array, channels: int) -> Array:
    """uint8 [..., ceil(channels / 8)] -> int8 [..., channels] of +-1."""
    return 2 * np.unpackbits(bits, axis=-1, count=channels, bitorder="little").astype(np.int8) - 1


def instruction_sets() -> tuple[str, ...]:
    """Those that gave here what plain arithmetic gives, the fastest first."""
    found: list[str] = []
    while name := loaded().ep_instruction_set(len(found)):
        found.append(name.decode())
    return tuple(found)


@functools.cache
def loaded() -> Any:
    """The library, with what its functions take and give."""
    found, at, text, size = ctypes.CDLL(str(library())), ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    found.ep_instruction_set.restype = text
    found.ep_possible.argtypes = [at]
    found.ep_open.restype, found.ep_open.argtypes = at, [at, at, at, ctypes.c_int, text]
    found.ep_network_open.restype, found.ep_network_open.argtypes = at, [text, size, text, text, size]
    found.ep_close.argtypes = found.ep_network_close.argtypes = [at]
    found.ep_bits.argtypes = found.ep_sums.argtypes = found.ep_network_shape.argtypes = [at, at, at]
    found.ep_network_run.argtypes = [at, at, ctypes.c_int32, at]
    return found


def pointer(array: Array | None) -> ctypes.c_void_p | None:
    """Of an array's numbers, which must lie in one piece."""
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)


def _checked(array: Array, what: str, shape: tuple[int, ...], kind: type[np.generic]) -> Array:
    """The array, in one piece; the library trusts its size."""
    if array.shape != shape or array.dtype != kind:
        raise UserError(
            f"layer of +-1: {what} are {array.dtype} {list(array.shape)}, expected {np.dtype(kind).name} {list(shape)}"
        )
    return np.ascontiguousarray(array)
