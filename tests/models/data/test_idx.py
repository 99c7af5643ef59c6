from __future__ import annotations

import gzip
import re
import struct
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from models.data._idx import MOST_BYTES, read, read_pair
from pipeline.errors import UserError

Write = Callable[[Path, NDArray[Any]], None]

HEADER = bytes((0, 0, 8, 3)) + struct.pack(">3I", 2, 3, 4)
VALUES = bytes(range(24))
INTACT = gzip.compress(HEADER + VALUES)
BAD_CHECKSUM = INTACT[:-8] + bytes(4) + INTACT[-4:]


def sizes(*values: int) -> bytes:
    return bytes((0, 0, 8, 3)) + struct.pack(">3I", *values)


@given(array=arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, max_side=6)))
def test_what_was_written_is_read_back(write_idx: Write, array: NDArray[np.uint8]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.gz"
        write_idx(path, array)
        found = read(path, array.shape[1:])
    assert found.dtype == np.uint8
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array)


@given(junk=st.binary(max_size=200), zipped=st.booleans())
def test_junk_ends_in_words(junk: bytes, zipped: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.gz"
        path.write_bytes(gzip.compress(junk) if zipped else junk)
        with pytest.raises(UserError, match=re.escape(str(path))):
            read(path, (3, 4))


@given(at=st.integers(0, len(INTACT) - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_found_or_harmless(at: int, value: int) -> None:
    """Harmless are the bytes of gzip's own header: time, operating system."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.gz"
        path.write_bytes(INTACT[:at] + bytes([value]) + INTACT[at + 1 :])
        try:
            assert read(path, (3, 4)).tobytes() == VALUES
        except UserError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "starts with bytes ''", id="empty file"),
        pytest.param(HEADER + VALUES, "starts with bytes '00 00', expected gzip (1f 8b)", id="not gzipped"),
        pytest.param(b"<html>404</html>", "starts with bytes '3c 68', expected gzip", id="a web page"),
        pytest.param(INTACT[: len(INTACT) // 2], f"ends early at {len(INTACT) // 2} bytes", id="truncated gzip"),
        pytest.param(INTACT[:-3], "ends early", id="truncated checksum"),
        pytest.param(BAD_CHECKSUM, "damaged gzip stream (CRC check failed", id="wrong checksum"),
        pytest.param(INTACT + b"junk", "damaged gzip stream (Not a gzipped file", id="junk after gzip"),
        pytest.param(gzip.compress(b""), "found magic number ''", id="empty payload"),
        pytest.param(gzip.compress(HEADER[:9]), "found 5 bytes of sizes, expected 12", id="truncated sizes"),
        pytest.param(gzip.compress(HEADER + VALUES[:-1]), "found 23 payload bytes, expected 24", id="truncated values"),
        pytest.param(gzip.compress(HEADER + VALUES + b"\0"), "found more payload bytes, expected 24", id="trailing byte"),
        pytest.param(
            gzip.compress(b"\0\0\x0d\x03" + HEADER[4:] + VALUES * 4),
            "magic number '00 00 0d 03', expected '00 00 08 03'",
            id="floats",
        ),
        pytest.param(gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 24) + VALUES), "magic number '00 00 08 01'", id="labels"),
        pytest.param(gzip.compress(sizes(2, 4, 3) + VALUES), "declares sizes [2, 4, 3], expected [N, 3, 4]", id="other shape"),
        pytest.param(gzip.compress(sizes(0, 3, 4)), "declares sizes [0, 3, 4]", id="no samples"),
        pytest.param(gzip.compress(sizes(2**32 - 1, 3, 4) + VALUES), "declares sizes [4294967295, 3, 4]", id="absurd count"),
        pytest.param(
            gzip.compress(sizes(1_000_000, 3, 4) + VALUES), "declares sizes [1000000, 3, 4]", id="more than gzip can hold"
        ),
    ],
)
def test_a_malformed_file_is_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(path, (3, 4))
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)
    assert "expected" in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.gz: cannot be read \(No such file or directory\)"):
        read(tmp_path / "a.gz", (3, 4))


@pytest.mark.parametrize(
    ("declared", "words"),
    [((2, 3, 4), "found more payload bytes"), ((MOST_BYTES // 12 + 1, 3, 4), "with 1 to")],
    ids=["more than declared", "declares too much"],
)
def test_a_bomb_is_refused_before_it_takes_memory(tmp_path: Path, declared: tuple[int, ...], words: str) -> None:
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb") as stream:
        stream.write(sizes(*declared))
        for _ in range(64):
            stream.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=words):
            read(path, (3, 4))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20  # gzip's own buffers; the bomb holds 64 MiB


def test_no_file_is_large_enough_for_more_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "large.gz"
    path.write_bytes(gzip.compress(sizes(MOST_BYTES // 12 + 1, 3, 4)))
    with path.open("r+b") as file:
        file.truncate(4 << 20)
    with pytest.raises(UserError, match=f"with 1 to {MOST_BYTES} values in all"):
        read(path, (3, 4))


def test_a_pair_has_a_channel_and_wide_labels(tmp_path: Path, write_idx: Write) -> None:
    write_idx(tmp_path / "i.gz", np.zeros((3, 4, 5)))
    write_idx(tmp_path / "l.gz", np.array([0, 9, 4]))
    pair = read_pair(tmp_path / "i.gz", tmp_path / "l.gz", (4, 5), classes=10)
    assert pair["image"].shape == (3, 1, 4, 5)
    assert pair["label"].dtype == np.int64
    assert pair["label"].tolist() == [0, 9, 4]


def test_different_counts_name_both_files(tmp_path: Path, write_idx: Write) -> None:
    images, labels = tmp_path / "i.gz", tmp_path / "l.gz"
    write_idx(images, np.zeros((3, 4, 5)))
    write_idx(labels, np.zeros(2))
    with pytest.raises(UserError) as caught:
        read_pair(images, labels, (4, 5), classes=10)
    assert f"{images} holds 3 images, but {labels} holds 2 labels" in str(caught.value)


def test_a_label_out_of_range_is_named(tmp_path: Path, write_idx: Write) -> None:
    write_idx(tmp_path / "i.gz", np.zeros((3, 4, 5)))
    write_idx(tmp_path / "l.gz", np.array([0, 10, 4]))
    with pytest.raises(UserError, match=r"l\.gz: found label 10 at index 1, expected 0 to 9"):
        read_pair(tmp_path / "i.gz", tmp_path / "l.gz", (4, 5), classes=10)
