"""Arrays of few distinct values as a stream of bits: adaptive binary arithmetic coding, its decoder in plain Python.

Where the values are, and which they are, is said in yes-or-no decisions. Each one's probability comes from an online logistic
regression on what was coded before, and an arithmetic coder spends -log2(p) bits on it (Witten, Neal & Cleary 1987; the
combination of contexts is that of Mahoney 2005, "Adaptive weighing of context models for lossless data compression").
Encoder and decoder run the same code on the same past, so nothing but the stream is needed.

Both must compute the same probabilities to the last bit on every machine: only +, -, * and / of IEEE doubles are used, and
exponentials and logarithms are those of `decimal`, which are correctly rounded; a C library's are not.
"""

from __future__ import annotations

import functools
from decimal import Decimal

from pipeline.errors import UserError

TOP = 0xFFFFFFFF
CLAMP, STEPS = 11.0, 64
"""Log-odds lie within +-CLAMP, in so many steps a unit: 2e-5 bits is the least that a decision costs."""
PRIOR = 4.0
"""Information (sum of p * (1 - p)) that a row or column starts with: so slowly it leaves the tensor's mean."""
NEIGHBOURS = 16
"""Contexts out of four weights that were coded before: the two to the left, the one above and the one left of that."""


class Coder:
    """One stream. `code(bit, odds)` writes a bit whose probability of 1 has these log-odds, or, when reading, finds it.

    It is 32-bit and carryless: [low, high] is the interval, whose equal leading bytes are sent at once.
    """

    def __init__(self, stream: bytes | None = None) -> None:
        self.reading = stream is not None
        self.stream = bytearray(stream or b"")
        self.low, self.high, self.place = 0, TOP, 4
        self.value = int.from_bytes(self.stream[:4].ljust(4, b"\0"), "big")
        self.squash = _squash()

    def code(self, bit: int, odds: float) -> tuple[int, float]:
        """The bit, and the probability of 1 that it was coded with."""
        scaled = odds * STEPS
        probability = self.squash[int(min(max(scaled, -CLAMP * STEPS), CLAMP * STEPS) + CLAMP * STEPS)]
        middle = self.low + ((self.high - self.low) * probability >> 16)
        if self.reading:
            bit = int(self.value <= middle)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while (self.low ^ self.high) < 1 << 24:
            self._shift()
        return bit, probability / 65536

    def end(self) -> bytes:
        """The stream written. When reading: UserError unless it ended where the last bit was."""
        if self.reading and self.place != len(self.stream) + 3:
            raise UserError(f"coded weights of {len(self.stream)} bytes should have ended after {self.place - 3}")
        return bytes(self.stream) if self.reading else bytes(self.stream) + bytes([(self.low >> 24) + 1])

    def _shift(self) -> None:
        if self.reading:
            following = self.stream[self.place] if self.place < len(self.stream) else 0
            self.value = (self.value << 8 & TOP) | following
            self.place += 1
        else:
            self.stream.append(self.high >> 24)
        self.low = self.low << 8 & TOP
        self.high = (self.high << 8 & TOP) | 255


def code_tensor(coder: Coder, rows: int, columns: int, nonzero: int, values: int, weights: list[int] | None) -> list[int]:
    """The `weights` (row by row, each 0 or the number of a value from 1), written, or read when there are none.

    `nonzero` of them are not 0, which is what the probabilities start from. UserError for a value beyond `values`, and for
    another number of nonzeros than was announced.
    """
    total = rows * columns
    start = float((Decimal(2 * nonzero + 1) / (2 * (total - nonzero) + 1)).ln())
    by_column, column_seen = [start] * columns, [PRIOR] * columns
    near, near_seen = [0.0] * NEIGHBOURS, [1.0] * NEIGHBOURS
    tree, tree_seen = [0.0] * (2 * values + 2), [1.0] * (2 * values + 2)
    found = [0] * total
    above, left_nonzero = [0] * (columns + 1), 0
    for row in range(rows):
        by_row, row_seen, left, before_left = 0.0, PRIOR, 0, 0
        here = [0] * (columns + 1)
        for column in range(columns):
            place = row * columns + column
            context = left + 2 * before_left + 4 * above[column] + 8 * above[column + 1]
            given = weights[place] if weights else 0
            bit, p = coder.code(int(given != 0), by_column[column] + by_row + near[context])
            information, error = p * (1 - p), bit - p
            column_seen[column] += information
            by_column[column] += error / column_seen[column]
            row_seen += information
            by_row += error / row_seen
            near_seen[context] += information
            near[context] += error / near_seen[context]
            if bit:
                found[place] = _code_value(coder, given, values, tree, tree_seen)
                left_nonzero += 1
            before_left, left = left, bit
            here[column + 1] = bit
        above = here
    if left_nonzero != nonzero:
        raise UserError(f"coded weights: {left_nonzero} are not zero, and {nonzero} should be")
    return found


def _code_value(coder: Coder, given: int, values: int, tree: list[float], seen: list[float]) -> int:
    """The number of a value, 1 to `values`: its bits from the highest, each one's odds learned at its node of the tree."""
    node = 1
    depth = (values - 1).bit_length()
    for level in range(depth - 1, -1, -1):
        bit, p = coder.code((given - 1) >> level & 1, tree[node])
        seen[node] += p * (1 - p)
        tree[node] += (bit - p) / seen[node]
        node = 2 * node + bit
    number = node - (1 << depth) + 1
    if number > values:
        raise UserError(f"coded weights: found number {number} of a codebook of {values}")
    return number


@functools.cache
def _squash() -> list[int]:
    """65536 / (1 + e^-x) for x from -CLAMP to CLAMP, within 1 to 65535."""
    size = int(2 * CLAMP * STEPS) + 1
    odds = (Decimal(index) / STEPS - Decimal(CLAMP) for index in range(size))
    return [min(65535, max(1, int(65536 / (1 + (-each).exp())))) for each in odds]
