"""A C file's body as it grows: its calls, its constants, and where the numbers between them lie in one array."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod

import numpy as np

from pipeline.core import Array, Unsupported

Shape = tuple[int, ...]


@dataclass
class Place:
    """Where numbers lie in the array, from the operator that makes them to the last one that reads them."""

    offset: int
    size: int
    reads: int
    """Yet to come."""


@dataclass(frozen=True)
class Value:
    """What an operator makes: floats; the graph's input has no place of ours."""

    shape: Shape
    place: Place | None

    @property
    def size(self) -> int:
        """How many floats."""
        return prod(self.shape)

    def __str__(self) -> str:
        return "in" if self.place is None else f"memory + {self.place.offset}"


@dataclass
class Body:
    """What a C file holds besides its frame."""

    calls: list[str] = field(default_factory=list)
    constants: list[Array] = field(default_factory=list)
    networks: list[bytes] = field(default_factory=list)
    """Packed files."""
    layers: set[str] = field(default_factory=set)
    memory: int = 0
    """Floats of the array."""
    live: list[Place] = field(default_factory=list)

    def call(self, layer: str, *arguments: object) -> None:
        """Adds a call: values, constants and numbers as they are, sizes of several sides in a row."""
        self.layers.add(layer)
        self.calls.append(f"{layer}({', '.join(map(str, _flat(arguments)))});")

    def constant(self, array: Array) -> str:
        """The name of an array of floats. Unsupported for what is none."""
        if not np.isfinite(array).all():
            raise Unsupported("a C file holds no weights that are not finite")
        self.constants.append(np.ascontiguousarray(array, np.float32))
        return f"constant_{len(self.constants) - 1}"

    def room(self, size: int, reads: int) -> Place:
        """The first gap of that size."""
        offset = 0
        for place in sorted(self.live, key=lambda each: each.offset):
            if place.offset - offset >= size:
                break
            offset = max(offset, place.offset + place.size)
        self.live.append(found := Place(offset, size, reads))
        self.memory = max(self.memory, offset + size)
        return found

    def read(self, place: Place | None) -> None:
        """One of the reads to come is done; what nobody reads any more gives its room away."""
        if place:
            place.reads -= 1
            if place.reads == 0:
                self.live.remove(place)


def _flat(arguments: Iterable[object]) -> Iterable[object]:
    for each in arguments:
        yield from each if isinstance(each, (tuple, list)) else (each,)
