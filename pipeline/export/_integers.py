"""Weights as the integers that they are: found in a graph's constants, or rounded, for a file to hold in few bits.

A technique has put the weights on a grid (pipeline/compress/_grid.py). By the time that a converter is done, tensors have
other names, axes in another order, and rows that a folded BatchNorm has multiplied; they are on a grid all the same, one step
a row or group. So nothing is named: every constant is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from pipeline.core import Array, Precision

CLOSE = 1e-6
"""Of a row's largest weight: how near its others must lie to a level. Float32 leaves 3e-7; levels are 8e-3 apart or more."""
SAMPLE = 8
"""So many rows must be on a grid before the others are looked at."""
NODES = 200
"""Bytes that the operators which restore an array take in a file, about."""
MOST_AXES = 5


@dataclass(frozen=True)
class Integers:
    """An array as integers and steps: values * scale, reshaped to `turned`, with its axes put back, is the array."""

    values: Array
    """Int8 [outputs, groups, inputs of a group]."""
    scale: Array
    """Float32 [outputs, groups, 1]."""
    bits: int
    """4 or 8: what the largest of the values needs."""
    order: tuple[int, ...]
    """The array's axes as they lie in `values`: its outputs first, then its inputs."""
    shape: tuple[int, ...]
    """Of the array itself."""

    @property
    def turned(self) -> tuple[int, ...]:
        """The shape of the array with its axes in `order`."""
        return tuple(self.shape[axis] for axis in self.order)

    @property
    def back(self) -> tuple[int, ...]:
        """The axes of an array in `order`, as the array has them."""
        return tuple(int(axis) for axis in np.argsort(self.order))

    @property
    def plain(self) -> tuple[Array, Array] | None:
        """Values in the array's own shape and a scale that broadcasts to them; None where a row has several groups."""
        if self.values.shape[1] > 1:
            return None
        values = self.values.reshape(self.turned).transpose(self.back)
        rows = tuple(size if axis in self._outputs else 1 for axis, size in enumerate(self.shape))
        return np.ascontiguousarray(values), self.scale.reshape(rows)

    @property
    def array(self) -> Array:
        """What a file gives back."""
        restored: Array = (self.values * self.scale).reshape(self.turned).transpose(self.back)
        return restored

    @property
    def _outputs(self) -> tuple[int, ...]:
        """The axes that make the rows: as many of the first as it takes."""
        count, rows = 0, 1
        while rows < len(self.values):
            rows *= self.turned[count]
            count += 1
        return self.order[: max(1, count)]


def found(array: Array, precision: Precision) -> Integers | None:
    """The array on its coarsest grid of at most `weight_bits` bits; None where it is on none, or where that saves nothing."""
    if array.dtype != np.float32 or not 2 <= array.ndim <= MOST_AXES or not array.size:
        return None
    for group in dict.fromkeys((None, precision.group)):
        for order, outputs in _orders(array.ndim, ordered=group is not None):
            turned = array.transpose(order)
            rows = turned.reshape(math.prod(turned.shape[:outputs]), -1)
            if group and rows.shape[1] % group:
                continue
            parts = rows.reshape(len(rows), -1, group or rows.shape[1])
            scale = _steps(parts.reshape(-1, parts.shape[2]), 2 ** (precision.weight_bits - 1) - 1)
            if scale is None:
                continue
            made = _integers(parts, scale, order, array.shape)
            if _bytes(made) + NODES < array.nbytes:  # rows of a single value are on a grid too, which saves nothing
                return made
    return None


def rounded(array: Array, per_channel: bool) -> Integers:
    """An array [..., inputs] rounded to 8 bits: a scale a row, or the same for all of them."""
    rows = array.reshape(-1, 1, array.shape[-1])
    largest = np.abs(rows).max(axis=2 if per_channel else None, keepdims=True)
    scale = np.broadcast_to(np.where(largest > 0, largest, 1) / 127, (len(rows), 1, 1))
    return _integers(rows, scale, tuple(range(array.ndim)), array.shape)


def packed(values: Array) -> Array:
    """Int4 values, two a byte, the first in the low half, as all three formats hold them; uint8."""
    flat = values.reshape(-1).view(np.uint8) & 15
    pairs = np.append(flat, np.zeros(len(flat) % 2, np.uint8)).reshape(-1, 2)
    halves: Array = pairs[:, 0] | pairs[:, 1] << 4
    return halves


def _orders(axes: int, ordered: bool) -> Iterator[tuple[tuple[int, ...], int]]:
    """Every choice of axes that may be a weight's outputs, those first and how many they are, the likely ones first.

    `ordered`: in which order the inputs' axes follow matters too, because groups are neighbours.
    """
    for outputs in range(1, axes):
        for order in permutations(range(axes)):
            rows, rest = order[:outputs], order[outputs:]
            if list(rows) == sorted(rows) and (ordered or list(rest) == sorted(rest)):
                yield order, outputs


def _steps(rows: Array, top: int) -> Array | None:
    """The step [rows, 1] of each row, all of whose values are integers up to `top` times it; None if a row has none."""
    if len(rows) > SAMPLE and _steps(rows[:SAMPLE], top) is None:
        return None
    wide = rows.astype(np.float64)
    largest = np.abs(wide).max(axis=1, keepdims=True)
    step, left = np.ones_like(largest), np.flatnonzero(largest)
    for level in range(1, top + 1):
        if not len(left):
            break
        tried = largest[left] / level
        multiples = wide[left] / tried
        good = np.abs(multiples - np.rint(multiples)).max(axis=1) <= CLOSE * level
        step[left[good]] = tried[good]
        left = left[~good]
    if len(left):
        return None
    values = np.rint(wide / step)  # the largest value has an error of its own, which all of them together have not
    return np.where(largest > 0, (wide * values).sum(1, keepdims=True) / np.maximum((values**2).sum(1, keepdims=True), 1), 1)


def _integers(parts: Array, scale: Array, order: tuple[int, ...], shape: tuple[int, ...]) -> Integers:
    steps = scale.reshape(*parts.shape[:2], 1)
    values = np.rint(parts / steps).astype(np.int8)
    bits = 4 if np.abs(values).max(initial=0) <= 7 else 8
    return Integers(values, steps.astype(np.float32), bits, order, shape)


def _bytes(made: Integers) -> int:
    return made.values.size * made.bits // 8 + made.scale.nbytes
