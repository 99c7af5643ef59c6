"""A packed network: layers of +-1 in one file, which every deployment of it runs with the same code."""

from __future__ import annotations

import ctypes
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core import Array
from pipeline.errors import UserError
from targets.kernels.layer import Shape, loaded, pointer

MAGIC, VERSION = b"EPBN", 1
ROOM = 200
"""Bytes of the line that says why a file is refused."""


@dataclass(frozen=True)
class Sign:
    """Floats [C, H, W] become bits: 1 where x is at least the threshold, at most where the channel is `falling`."""

    size: tuple[int, int, int]
    thresholds: Array
    """float32 [C]."""
    falling: Array
    """bool [C]."""

    def packed(self) -> tuple[int, bytes]:
        """Its kind in the file, and its bytes."""
        return 1, struct.pack("<3i", *self.size) + _mask(self.falling) + self.thresholds.astype("<f4").tobytes()


@dataclass(frozen=True)
class Bits:
    """A layer whose sums become bits: 1 where one is at least the threshold."""

    shape: Shape
    weights: Array
    """uint8, as `Shape.taps` says."""
    thresholds: Array
    """int32 [outputs], or [out_height, out_width, outputs]."""

    def packed(self) -> tuple[int, bytes]:
        """Its kind in the file, and its bytes."""
        everywhere = struct.pack("<I", self.thresholds.ndim == 3)
        return 2, _layer(self.shape, self.weights) + everywhere + self.thresholds.astype("<i4").tobytes()


@dataclass(frozen=True)
class Pool:
    """1 where any bit of a window is."""

    size: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]

    def packed(self) -> tuple[int, bytes]:
        """Its kind in the file, and its bytes."""
        return 3, struct.pack("<9i", *self.size, *self.kernel, *self.stride, *self.pad)


@dataclass(frozen=True)
class Floats:
    """The last layer: scale * sum + offset, as floats [outputs, H, W]."""

    shape: Shape
    weights: Array
    """uint8, as `Shape.taps` says."""
    scale: Array
    """float32 [outputs]."""
    offset: Array
    """float32 [outputs]."""

    def packed(self) -> tuple[int, bytes]:
        """Its kind in the file, and its bytes."""
        numbers = np.concatenate([self.scale, self.offset]).astype("<f4")
        return 4, _layer(self.shape, self.weights) + numbers.tobytes()


Stage = Sign | Bits | Pool | Floats


def write(stages: Sequence[Stage]) -> bytes:
    """The packed file of these stages; `network.cpp` says what is in it."""
    parts = [MAGIC + struct.pack("<2I", VERSION, len(stages))]
    for stage in stages:
        kind, body = stage.packed()
        parts.append(struct.pack("<2I", kind, len(body)) + body)
    whole = b"".join(parts)
    return whole + struct.pack("<I", zlib.crc32(whole))


def read(packed: bytes) -> list[Stage]:
    """The stages of a packed file; UserError for one that is none, with what is wrong with it."""
    Network(packed)
    _, _, count = struct.unpack_from("<4s2I", packed)
    found, place = list[Stage](), 12
    for _ in range(count):
        kind, length = struct.unpack_from("<2I", packed, place)
        found.append(_READERS[kind](_Body(packed[place + 8 : place + 8 + length])))
        place += 8 + length
    return found


class _Body:
    """A stage's bytes, taken one after the other."""

    def __init__(self, left: bytes) -> None:
        self.left = left

    def numbers(self, count: int) -> list[int]:
        found: list[int] = self.array("<i4", count).tolist()
        return found

    def array(self, kind: str, *shape: int) -> Array:
        whole = np.frombuffer(self.left, kind, math.prod(shape))
        self.left = self.left[whole.nbytes :]
        return whole.astype(np.dtype(kind).newbyteorder("=")).reshape(shape)

    def size(self) -> tuple[int, int, int]:
        channels, height, width = self.numbers(3)
        return channels, height, width

    def two(self) -> tuple[int, int]:
        first, second = self.numbers(2)
        return first, second

    def mask(self, *shape: int) -> Array:
        bits = self.array("u1", *shape[:-1], -(-shape[-1] // 8))
        return np.unpackbits(bits, axis=-1, count=shape[-1], bitorder="little").astype(bool)

    def layer(self) -> tuple[Shape, Array]:
        channels, height, width, outputs = self.numbers(4)
        kernel, stride, pad, (groups,) = self.two(), self.two(), self.two(), self.numbers(1)
        shape = Shape(channels, height, width, outputs, kernel, stride, pad, groups)
        return shape, self.array("u1", *shape.taps)


def _read_sign(body: _Body) -> Sign:
    size = body.size()
    falling = body.mask(size[0])
    return Sign(size, body.array("<f4", size[0]), falling)


def _read_bits(body: _Body) -> Bits:
    shape, weights = body.layer()
    (everywhere,) = body.numbers(1)
    return Bits(shape, weights, body.array("<i4", *(shape.output if everywhere else ()), shape.outputs))


def _read_floats(body: _Body) -> Floats:
    shape, weights = body.layer()
    return Floats(shape, weights, body.array("<f4", shape.outputs), body.array("<f4", shape.outputs))


_READERS: dict[int, Callable[[_Body], Stage]] = {
    1: _read_sign,
    2: _read_bits,
    3: lambda body: Pool(body.size(), body.two(), body.two(), body.two()),
    4: _read_floats,
}


class Network:
    """Runs a packed file; UserError for one that is none, with what is wrong with it."""

    def __init__(self, packed: bytes, instruction_set: str | None = None) -> None:
        self._handle: int | None = None
        why = ctypes.create_string_buffer(ROOM)
        chosen = instruction_set.encode() if instruction_set else None
        self._handle = loaded().ep_network_open(packed, len(packed), chosen, why, ROOM)
        if not self._handle:
            raise UserError(f"packed network of {len(packed)} bytes: {why.value.decode()}")
        sizes = np.empty((2, 3), np.int32)
        loaded().ep_network_shape(self._handle, pointer(sizes[0]), pointer(sizes[1]))
        self.input, self.output = (tuple(size.tolist()) for size in sizes)
        """Channels, height and width."""

    def __call__(self, inputs: Array) -> Array:
        """float32 [N, *input] -> float32 [N, *output]."""
        if inputs.shape[1:] != self.input or inputs.dtype != np.float32:
            raise UserError(f"packed network: inputs are {inputs.dtype} {list(inputs.shape)}, expected float32 [N, {self.input}]")
        inputs = np.ascontiguousarray(inputs)
        found = np.empty((len(inputs), *self.output), np.float32)
        loaded().ep_network_run(self._handle, pointer(inputs), len(inputs), pointer(found))
        return found

    def __del__(self) -> None:
        if self._handle:
            loaded().ep_network_close(self._handle)


def _mask(flags: Array) -> bytes:
    return np.packbits(flags.astype(bool), axis=-1, bitorder="little").tobytes()


def _layer(shape: Shape, weights: Array) -> bytes:
    if weights.shape != shape.taps or weights.dtype != np.uint8:
        raise ValueError(f"weights are {weights.dtype} {weights.shape}, expected uint8 {shape.taps}")
    return struct.pack("<11i", *shape.numbers()) + weights.tobytes()
