"""Tiny Shakespeare: the windows cover the text once, and a file that is none of it is told so in a line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.tinyshakespeare import MOST_BYTES, TinyShakespeare
from models.tasks.language import decode
from pipeline.core import Dataset
from pipeline.errors import UserError

TEXT = "".join(chr(97 + (index * index + index // 7) % 26) for index in range(1000))


def written(root: Path, content: bytes) -> Path:
    path = root / "tinyshakespeare/files/input.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def joined(dataset: Dataset, split: str) -> str:
    """The text of a split's windows, each without the character that the one before ends with."""
    tokens, vocabulary = dataset.splits[split]["tokens"], dataset.domain.vocabulary
    np.testing.assert_array_equal(tokens[1:, 0], tokens[:-1, -1])
    return decode(tokens[0, :1], vocabulary) + "".join(decode(row[1:], vocabulary) for row in tokens)


@given(length=st.integers(2, 49))
@settings(max_examples=20)
def test_windows_cover_each_part_once(length: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("data")
    written(root, TEXT.encode())
    dataset = TinyShakespeare(length=length).load(root)
    for split, part in (("train", TEXT[:850]), ("validation", TEXT[850:900]), ("test", TEXT[900:])):
        assert dataset.splits[split]["tokens"].dtype == np.int64
        found = joined(dataset, split)
        assert part.startswith(found)
        assert len(part) - len(found) < length  # only what fills no window is left out


def test_the_digest_is_of_the_training_windows(tmp_path: Path) -> None:
    digests = []
    for text in (TEXT, TEXT[:900] + TEXT[:899:-1], "b" + TEXT[1:]):
        written(tmp_path, text.encode())
        digests.append(TinyShakespeare(length=20).load(tmp_path).sha256)
    assert digests[0] == digests[1] != digests[2]
    assert TinyShakespeare(length=21).load(tmp_path).sha256 != digests[2]


def test_lines_keep_their_ends(tmp_path: Path) -> None:
    text = "one\r\ntwo\n\u2028é" * 100
    written(tmp_path, text.encode())
    dataset = TinyShakespeare(length=10).load(tmp_path)
    assert dataset.domain.vocabulary == tuple(sorted(set(text)))
    assert text.startswith(joined(dataset, "train"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "found 0 characters, expected at least 129 in each of three parts"),
        (b"a", "found 1 characters, expected at least 129 in each of three parts"),
        (b"abc " * 100, "its validation part has 20 characters, expected at least 129 (one window)"),
        (b"abcd" * 1000 + b"\xff", "byte 4000 (0xff) is not UTF-8, expected a text in UTF-8"),
        (b"abc\n" * 1000 + b"ab#", "line 1001, column 3 is '#'; expected one of the 4 characters of the vocabulary: a b c"),
    ],
    ids=["empty", "one character", "short", "binary", "a character that no training text has"],
)
def test_another_file_is_refused_in_a_line(content: bytes, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(UserError) as caught:
        TinyShakespeare().load(tmp_path)
    assert str(caught.value) == f"{path}: {said}"


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, b"")
    with path.open("r+b") as file:
        file.truncate(MOST_BYTES + 1)  # sparse: takes no room
    with pytest.raises(UserError, match=f"found {MOST_BYTES + 1} bytes, expected at most {MOST_BYTES}"):
        TinyShakespeare().load(tmp_path)


def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "tinyshakespeare/files/input.txt").mkdir(parents=True)
    with pytest.raises(UserError, match=r"input\.txt is missing"):
        TinyShakespeare().load(tmp_path)


@pytest.mark.skipif("EDGEPRESS_DATA" not in os.environ, reason="set EDGEPRESS_DATA to test the downloaded data sets")
def test_the_real_text_is_cut_the_same_everywhere() -> None:
    dataset = TinyShakespeare().load(Path(os.environ["EDGEPRESS_DATA"]))
    assert dataset.sha256 == "3df123d25ba24fe9ecd25cef91fc15152cf98492eb848a44c5b193d550bca07d"
    assert {split: dataset.size(split) for split in dataset.splits} == {"train": 7406, "validation": 435, "test": 871}
    assert dataset.domain.classes == len(dataset.domain.vocabulary) == 65
    assert joined(dataset, "train").startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n")
