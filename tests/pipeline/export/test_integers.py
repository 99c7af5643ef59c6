"""A constant on a grid is found whatever became of its axes, in as few bits as it needs; any other is left alone."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.compress._grid import on_grid, scales
from pipeline.core import Precision
from pipeline.export._integers import found, packed, rounded

EXACT = 2e-6
"""Of the largest weight: a few roundings of float32."""


def normal(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40)
@given(
    st.sampled_from([(24, 32), (1, 24, 32), (16, 8, 2, 2), (3, 16, 16)]),
    st.sampled_from([4, 8]),
    st.sampled_from([None, 8, 16]),
    st.booleans(),
    st.integers(0, 1000),
    st.data(),
)
def test_what_is_on_a_grid_is_found_exactly(shape, bits, group, clip, seed, data) -> None:
    weight = normal(shape, seed)
    grid = on_grid(weight, scales(weight, bits, group, clip=clip), bits).numpy()
    order = data.draw(st.permutations(range(len(shape))))
    array = np.ascontiguousarray(grid.transpose(order)) * np.float32(1.7)  # what a folded norm does to a channel
    made = found(array, Precision("float", weight_bits=bits, group=group))
    assert made is not None
    assert np.abs(made.array - array).max() <= EXACT * np.abs(array).max()
    assert made.bits <= bits and np.abs(made.values).max() < 2 ** (made.bits - 1)
    if made.plain:
        values, scale = made.plain
        np.testing.assert_array_equal(values * scale, made.array)


@pytest.mark.parametrize("bits", [4, 8])
def test_each_output_channel_may_be_multiplied_by_another_number(bits) -> None:
    weight = normal((32, 64), 0)
    grid = on_grid(weight, scales(weight, bits), bits).numpy() * np.linspace(-3, 3, 32, dtype=np.float32)[:, None]
    made = found(grid, Precision("float", weight_bits=bits))
    assert made is not None and np.abs(made.array - grid).max() <= EXACT * np.abs(grid).max()


def test_the_bits_are_those_that_the_values_need() -> None:
    weight = normal((32, 64), 0)
    grid = on_grid(weight, scales(weight, 4), 4).numpy()
    made = found(grid, Precision("float", weight_bits=8))
    assert made is not None and made.bits == 4
    assert found(on_grid(weight, scales(weight, 8), 8).numpy(), Precision("float", weight_bits=4)) is None


def test_floats_are_on_no_grid() -> None:
    for shape in ((32, 64), (16, 8, 3, 3), (8, 1, 3, 3)):
        for group in (None, 3, 8):
            assert found(normal(shape, 1).numpy(), Precision("float", group=group)) is None


def test_one_float_among_whole_rows_keeps_all_of_them_float() -> None:
    grid = on_grid(normal((32, 64), 0), torch.full((32, 1, 1), 0.3), 4).numpy().copy()
    assert found(grid, Precision("float", weight_bits=4)) is not None
    grid[20, 5] += 1e-3
    assert found(grid, Precision("float", weight_bits=4)) is None


def test_what_saves_nothing_and_what_is_no_weight_is_left_alone() -> None:
    precision = Precision("float")
    assert found(np.ones((4, 4), np.float32), precision) is None
    assert found(np.ones(4096, np.float32), precision) is None
    assert found(np.ones((64, 64), np.int64), precision) is None
    assert found(np.ones((0, 64), np.float32), precision) is None


def test_rows_of_zeros_stay_zeros() -> None:
    grid = on_grid(normal((32, 64), 0), torch.full((32, 1, 1), 0.3), 4).numpy().copy()
    grid[3] = 0
    made = found(grid, Precision("float", weight_bits=4))
    assert made is not None and not made.array[3].any() and np.isfinite(made.scale).all()


@pytest.mark.parametrize("per_channel", [True, False])
def test_rounded_values_lie_within_half_a_step(per_channel) -> None:
    array = normal((2, 12, 7), 0).numpy()
    array[1, 3] = 0
    made = rounded(array, per_channel)
    assert (np.abs(made.array - array).reshape(24, -1) <= made.scale[:, 0] * 0.5001).all()
    assert len(np.unique(made.scale)) == (24 if per_channel else 1)


@given(st.lists(st.integers(-8, 7), min_size=1, max_size=40))
def test_packed_integers_come_back(values) -> None:
    array = np.array(values, np.int8)
    halves = packed(array)
    back = np.stack([halves & 15, halves >> 4], 1).reshape(-1)[: len(values)].astype(np.int8)
    np.testing.assert_array_equal(np.where(back > 7, back - 16, back), array)


def test_all_orders_of_axes_are_tried_for_groups() -> None:
    weight = normal((16, 8, 2, 2), 0)
    grid = on_grid(weight, scales(weight, 4, 8), 4).numpy()
    for order in permutations(range(4)):
        assert found(np.ascontiguousarray(grid.transpose(order)), Precision("float", weight_bits=4, group=8)) is not None
