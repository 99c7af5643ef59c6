"""Packed files: what is damaged, cut off or made up is refused with a line, and never read beyond its end."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from targets.kernels import build
from targets.kernels.layer import Shape
from targets.kernels.network import Bits, Floats, Network, Pool, Sign, read, write

PARSE = Path(__file__).with_name("parse.cpp")
RANDOM = np.random.default_rng(0)


def small(high: int = 6) -> bytes:
    """One of every stage."""
    first, last = Shape(9, high, 6, 10, (3, 3), pad=(1, 1)), Shape(10, high // 2, 3, 4, (high // 2, 3))
    weights = [RANDOM.integers(0, 256, shape.taps).astype(np.uint8) for shape in (first, last)]
    edges, thresholds = RANDOM.normal(size=9).astype(np.float32), RANDOM.integers(-9, 9, (high, 6, 10)).astype(np.int32)
    ones = np.ones(4, np.float32)
    return write(
        [
            Sign((9, high, 6), edges, edges > 0),
            Bits(first, weights[0], thresholds),
            Pool((10, high, 6), (2, 2), (2, 2), (0, 0)),
            Floats(last, weights[1], ones, ones),
        ]
    )


WHOLE = small()


def again(body: bytes) -> bytes:
    """With the checksum that belongs to it: as somebody makes a file who wants it read."""
    return body + struct.pack("<I", zlib.crc32(body))


def test_the_stages_of_a_file_are_those_that_were_written() -> None:
    for whole in (WHOLE, small(high=9)):
        assert write(read(whole)) == whole
    with pytest.raises(UserError, match=r"packed network of \d+ bytes: \w"):
        read(WHOLE[:-1])


@given(cut=st.integers(0, len(WHOLE) - 1))
def test_a_file_that_was_cut_off_is_refused(cut: int) -> None:
    for body in (WHOLE[:cut], again(WHOLE[: max(0, cut - 4)])):
        with pytest.raises(UserError, match=r"packed network of \d+ bytes: \w"):
            Network(body)


@given(place=st.integers(0, len(WHOLE) - 1), change=st.integers(1, 255))
def test_a_byte_that_was_changed_is_noticed(place: int, change: int) -> None:
    body = bytearray(WHOLE)
    body[place] ^= change
    with pytest.raises(UserError):
        Network(bytes(body))


@pytest.mark.parametrize(
    ("place", "number", "said"),
    [
        (4, 2, "its version is 2; this is for version 1"),
        (8, 1, "it has 1 stages"),
        (8, 2**31, "it has 2147483648 stages"),
        (8, 3, "its stages are in an impossible order"),
        (12, 9, "a stage of kind 9, which version 1 does not have"),
        (16, 2**32 - 1, "it ends too early"),
        (20, 2**31 - 1, "a side of 2147483647"),
        (20, 8, "bytes too many in a stage|it ends too early|takes"),
        (24, 2**16, "an image of|too many|ends too early|takes"),
    ],
)
def test_made_up_numbers_are_refused(place: int, number: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Network(again(WHOLE[:place] + struct.pack("<I", number) + WHOLE[place + 4 : -4]))


def test_stages_that_do_not_fit_and_inputs_of_another_shape_are_refused() -> None:
    sign = Sign((3, 4, 4), np.zeros(3, np.float32), np.zeros(3))
    shape = Shape(3, 5, 4, 2, (3, 3))
    last = Floats(shape, np.zeros(shape.taps, np.uint8), np.ones(2, np.float32), np.ones(2, np.float32))
    with pytest.raises(UserError, match="a stage takes 3x5x4 and the one before gives 3x4x4"):
        Network(write([sign, last]))
    with pytest.raises(UserError, match=r"inputs are float64 \[1, 9, 6, 6\], expected float32"):
        Network(WHOLE)(np.zeros((1, 9, 6, 6)))


def test_damaged_files_are_clean_under_the_sanitizers(tmp_path: Path) -> None:
    options = ("-std=c++17", "-O1", "-g", "-w", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    build.compile_to(tmp_path / "parse", (PARSE,), (*options, f"-I{build.SOURCES[0].parent}"))
    random, files = np.random.default_rng(1), [tmp_path / "whole"]
    files[0].write_bytes(WHOLE)
    for number in range(400):
        body = bytearray(small(high=int(random.integers(4, 8)))[:-4])
        for _ in range(random.integers(1, 4)):
            place = 4 * int(random.integers(1, 40))  # numbers rather than weights
            body[place : place + 4] = struct.pack("<i", int(random.choice([0, 1, 2, 3, 7, 9, 64, 2**16, 2**30, -1, -(2**31)])))
        files.append(tmp_path / f"{number}")
        files[-1].write_bytes(again(bytes(body[: random.integers(12, len(body) + 1)] if number % 3 == 0 else body)))
    limits = {**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1:max_allocation_size_mb=4096"}
    done = subprocess.run([tmp_path / "parse", *files], capture_output=True, text=True, env=limits, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 401 and said[0] == "ran" and all(said)
    assert len(set(said)) > 5, "the numbers met more than the first check"
