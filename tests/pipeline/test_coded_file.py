"""A coded file gives back every bit, is small where it can be, and one from outside is never trusted."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from pipeline import coded_file
from pipeline.coded_file import _varint, decode, encode, few_values
from pipeline.errors import UserError

PATTERNS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=12)
SHAPES = some.array_shapes(min_dims=1, max_dims=4, max_side=9)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Float32 of any bits, NaNs with payloads and negative zeros among them; few distinct ones or many."""
    shape, patterns = draw(SHAPES), draw(PATTERNS)
    choice = draw(some.arrays(np.int64, shape, elements=st.integers(0, len(patterns) - 1)))
    return np.array(patterns, np.uint32)[choice].view(np.float32)


@settings(max_examples=150)
@given(st.lists(arrays(), max_size=3), st.binary(max_size=40), st.data())
def test_any_weights_come_back_to_the_bit(weights: list[np.ndarray], between: bytes, data: st.DataObject) -> None:
    turned = [array.transpose(data.draw(st.permutations(range(array.ndim)))) for array in weights]
    file = between + between.join(np.ascontiguousarray(array).tobytes() for array in turned) + between
    coded = encode(file, weights)
    if any(few_values(array) is not None for array in weights):
        assert coded is not None
        assert decode(coded) == file
    else:
        assert coded is None


@pytest.fixture(scope="module")
def sparse() -> np.ndarray:
    """[64, 100], 3 % of it one of eight values."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=8).astype(np.float16).astype(np.float32)
    return np.where(draw.random((64, 100)) < 0.03, draw.choice(values, (64, 100)), np.float32(0))


@pytest.fixture(scope="module")
def coded(sparse: np.ndarray) -> bytes:
    found = encode(b"before" + sparse.tobytes() + b"after", [sparse])
    assert found
    return found


def test_the_stream_is_as_long_as_shannon_says(sparse: np.ndarray, coded: bytes) -> None:
    n, k = sparse.size, np.count_nonzero(sparse)
    p = k / n
    entropy = -n * (p * np.log2(p) + (1 - p) * np.log2(1 - p)) + 3 * k  # bits: where they are, and which of eight
    header = 60  # bytes: checksum, sizes, eight values of two bytes, what LZMA makes of eleven bytes
    assert len(coded) <= 1.1 * entropy / 8 + header  # a tenth for learning 164 rows and columns


def test_columns_that_are_mostly_empty_cost_little() -> None:
    draw = np.random.default_rng(1)
    even, uneven = (np.zeros((100, 100), np.float32) for _ in range(2))
    even.flat[draw.choice(10_000, 500, replace=False)] = 1
    uneven[:, :10].flat[draw.choice(1000, 500, replace=False)] = 1
    sizes = [len(encode(array.tobytes(), [array]) or b"") for array in (even, uneven)]
    assert sizes[1] < 0.6 * sizes[0]


def test_arrays_are_found_in_any_order_of_their_dimensions(sparse: np.ndarray) -> None:
    kernel = sparse.reshape(8, 8, 10, 10)
    file = np.ascontiguousarray(kernel.transpose(0, 2, 3, 1)).tobytes()
    found = encode(file, [kernel])
    assert found
    assert len(found) < 0.1 * len(file)
    assert decode(found) == file


def test_a_file_without_such_arrays_is_not_coded(sparse: np.ndarray) -> None:
    many = np.random.default_rng(2).normal(size=(30, 30)).astype(np.float32)
    assert encode(many.tobytes(), [many]) is None
    assert encode(b"a file of something else" * 9, [sparse]) is None


def test_every_cut_and_every_flipped_byte_is_refused(coded: bytes) -> None:
    for length in range(len(coded)):
        with pytest.raises(UserError):
            decode(coded[:length])
    for place in range(len(coded)):
        with pytest.raises(UserError):
            decode(coded[:place] + bytes([coded[place] ^ 0x10]) + coded[place + 1 :])


def sealed(body: bytes) -> bytes:
    """A body with the checksum that it needs: what an attacker sends."""
    return coded_file.MAGIC + zlib.crc32(body).to_bytes(4, "big") + body


def header(*numbers: int) -> bytes:
    return b"".join(map(_varint, numbers))


REST = header(400, 0, 1, 1)
"""400 bytes, all of them in one array; one byte of LZMA."""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "1 bytes expected at byte 8, and it ends before that"),
        (b"\x80" * 20, "a number of more than nine bytes"),
        (header(1 << 40, 0, 0, 0), "holds 1,099,511,627,776 bytes; at most 1,073,741,824 are allowed"),
        (header(400, 0, 0, 1 << 40), "it ends before that"),
        (REST + header(0, 1 << 30, 1 << 30, 1, 1, 4), "array 1 of 1073741824 x 1073741824 at byte 0"),
        (REST + header(8, 10, 10, 1, 1, 4), "array 1 of 10 x 10 at byte 8"),
        (REST + header(0, 10, 10, 101, 1, 4), "101 of it not zero"),
        (REST + header(0, 10, 10, 1, 1 << 40, 4), "1099511627776 values of 4 bytes"),
        (REST + header(0, 10, 10, 1, 1, 8), "1 values of 8 bytes"),
        (REST + header(0, 10, 10, 1, 200, 4) + b"....", "800 bytes expected"),
        (header(500, 0, 1, 1) + header(0, 10, 10, 1, 1, 4) + b"....", "0 bytes beside the arrays do not make 500 with them"),
        (REST + header(0, 10, 10, 1, 1, 4) + b"....\x05", "cannot be decompressed"),
        (REST + header(0, 10, 10, 1, 1, 4) + b"....\xff", "0 bytes should be beside the arrays, found 0 and then no end"),
        (REST + header(0, 10, 10, 90, 3, 2) + b"aabbcc\0" + b"\0" * 60, "coded weights: found number 4 of a codebook of 3"),
        (REST + header(0, 10, 10, 90, 4, 2) + b"aabbccdd\0" + b"\0" * 60, "coded weights: 100 are not zero, and 90 should be"),
        (REST + header(0, 10, 10, 100, 4, 2) + b"aabbccdd\0" + b"\0" * 60, "coded weights of 60 bytes should have ended after"),
    ],
)
def test_a_crafted_file_is_refused_in_one_line(body: bytes, words: str) -> None:
    with pytest.raises(UserError) as refused:
        decode(sealed(body))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_any_body_under_a_right_checksum_is_refused_or_decoded(coded: bytes) -> None:
    """No error but ours, whatever the bytes: each of the first 40 changed to a few others, resealed."""
    body = coded[8:]
    for place, value in itertools.product(range(40), (0, 1, 7, 127, 128, 255)):
        try:
            found = decode(sealed(body[:place] + bytes([value]) + body[place + 1 :]), limit=100_000)
        except UserError:
            continue
        assert len(found) <= 100_000


def test_what_is_larger_than_asked_for_is_refused(coded: bytes) -> None:
    with pytest.raises(UserError, match="at most 1,000 are allowed"):
        decode(coded, limit=1000)
