"""Layers of +-1: every instruction set gives, to the last bit, what slow arithmetic on whole numbers gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from targets.kernels.layer import Layer, Shape, instruction_sets, pack, unpack

Array = np.ndarray
SETS = instruction_sets()


@st.composite
def shapes(draw: Any) -> Shape:
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    kernel = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    return Shape(
        channels=groups * draw(st.integers(1, 140)),
        height=draw(st.integers(kernel[0], 9)),
        width=draw(st.integers(kernel[1], 9)),
        outputs=groups * draw(st.integers(1, 140)),
        kernel=kernel,
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        pad=(draw(st.integers(0, kernel[0] - 1)), draw(st.integers(0, kernel[1] - 1))),
        groups=groups,
    )


def drawn(shape: Shape, seed: int) -> tuple[Array, Array]:
    """Inputs [height, width, channels] and weights [outputs, kernel, channels of a group] of +-1."""
    random = np.random.default_rng(seed)
    inputs = random.choice([-1, 1], (shape.height, shape.width, shape.channels))
    return inputs, random.choice([-1, 1], (shape.outputs, *shape.kernel, shape.channels // shape.groups))


def slow(inputs: Array, weights: Array, shape: Shape) -> Array:
    """int64 [outputs, out_height, out_width]; what lies beyond the edge is 0."""
    (high, wide), (down, right) = shape.pad, shape.stride
    padded = np.pad(inputs, ((high, high), (wide, wide), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, shape.kernel, (0, 1))[::down, ::right]
    grouped = windows.reshape(*windows.shape[:2], shape.groups, -1, *shape.kernel)
    filters = weights.reshape(shape.groups, -1, *weights.shape[1:])
    sums: Array = np.einsum("yxgcij,gnijc->gnyx", grouped, filters)
    return sums.reshape(shape.outputs, *shape.output)


@pytest.mark.parametrize("name", SETS)
@given(shape=shapes(), seed=st.integers(0, 2**32 - 1))
def test_sums_and_bits_are_exact(name: str, shape: Shape, seed: int) -> None:
    inputs, weights = drawn(shape, seed)
    expected = slow(inputs, weights, shape)
    reach = 2 + int(np.abs(expected).max())
    thresholds = np.random.default_rng(seed).integers(-reach, reach, shape.outputs, np.int32)  # some always, some never
    layer = Layer(shape, pack(weights), thresholds, name)
    np.testing.assert_array_equal(layer.sums(pack(inputs)), expected)
    over = np.where(expected >= thresholds[:, None, None], 1, -1).transpose(1, 2, 0)
    np.testing.assert_array_equal(layer.bits(pack(inputs)), pack(over))
    np.testing.assert_array_equal(layer.bits(pack(inputs)), pack(over), "a layer is as it was after a call")


@pytest.mark.parametrize("name", SETS)
def test_the_longest_sums_and_the_thresholds_beyond_them(name: str) -> None:
    shape = Shape(channels=65_534, height=1, width=1, outputs=3, kernel=(1, 1))
    same = np.ones((1, 1, 65_534))
    weights = np.stack([same, -same, same])
    limits = np.array([65_534, -65_534, 2**31 - 1], np.int32)
    for inputs, sums in ((same, [65_534, -65_534, 65_534]), (-same, [-65_534, 65_534, -65_534])):
        layer = Layer(shape, pack(weights), limits, name)
        assert layer.sums(pack(inputs)).ravel().tolist() == sums
        assert unpack(layer.bits(pack(inputs)), 3).ravel().tolist() == [
            1 if a >= b else -1 for a, b in zip(sums, limits, strict=True)
        ]


@given(signs=st.lists(st.sampled_from([-1, 1]), min_size=1, max_size=70))
def test_what_is_packed_comes_back_with_zeros_behind_it(signs: list[int]) -> None:
    bits = pack(np.array(signs))
    assert unpack(bits, len(signs)).tolist() == signs
    assert int.from_bytes(bits.tobytes(), "little") < 2 ** len(signs)


SQUARE = Shape(channels=8, height=4, width=4, outputs=8, kernel=(3, 3))


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 0},
        {"height": -1},
        {"outputs": 2**31 - 1},
        {"kernel": (5, 3)},
        {"stride": (0, 1)},
        {"pad": (3, 0)},
        {"groups": 3},
        {"channels": 7_288},
        {"height": 2**16, "width": 2**16},
        {"height": 1, "width": 2**16, "kernel": (8_191, 1), "pad": (8_190, 0)},
    ],
)
def test_shapes_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    shape = replace(SQUARE, **wrong)
    with pytest.raises(UserError, match="no layer of"):
        # A view of one byte has any shape without its memory; the shape is refused before a weight is read.
        Layer(shape, np.broadcast_to(np.uint8(0), tuple(max(0, side) for side in shape.taps)))


def test_arrays_of_another_size_are_refused_before_they_are_read() -> None:
    weights = np.zeros(SQUARE.taps, np.uint8)
    with pytest.raises(UserError, match=r"weights are uint8 \[8, 3, 2, 1\], expected uint8 \[8, 3, 3, 1\]"):
        Layer(SQUARE, weights[:, :, :2])
    with pytest.raises(UserError, match=r"thresholds are int64 \[8\], expected int32 \[8\]"):
        Layer(SQUARE, weights, np.zeros(8, np.int64))
    with pytest.raises(UserError, match=r"inputs are uint8 \[4, 4, 2\], expected uint8 \[4, 4, 1\]"):
        Layer(SQUARE, weights).sums(np.zeros((4, 4, 2), np.uint8))
    with pytest.raises(UserError, match=r"'sse9' does not work here \(allowed: .*scalar\)"):
        Layer(SQUARE, weights, None, "sse9")
