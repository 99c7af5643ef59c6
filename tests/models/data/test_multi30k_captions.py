"""Captions in Tiny Shakespeare's alphabet: which are read, which are left out, and that windows cover them once."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from models.data.multi30k_captions import Multi30kCaptions
from models.data.tinyshakespeare import TinyShakespeare
from models.tasks.language import decode
from pipeline.core import Dataset
from pipeline.errors import UserError


def joined(dataset: Dataset, split: str) -> str:
    tokens, vocabulary = dataset.splits[split]["tokens"], dataset.domain.vocabulary
    np.testing.assert_array_equal(tokens[1:, 0], tokens[:-1, -1])
    return decode(tokens[0, :1], vocabulary) + "".join(decode(row[1:], vocabulary) for row in tokens)


def lines(root: Path, split: str) -> list[str]:
    return gzip.decompress((root / f"multi30k_en_de/files/{split}.en.gz").read_bytes()).decode().splitlines()


@pytest.fixture
def root(tmp_path: Path, synthetic_data: Path) -> Path:
    """A data root whose training captions may be written anew."""
    (tmp_path / "tinyshakespeare").symlink_to(synthetic_data / "tinyshakespeare")
    files = tmp_path / "multi30k_en_de/files"
    files.mkdir(parents=True)
    for path in (synthetic_data / "multi30k_en_de/files").iterdir():
        (files / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_windows_cover_the_captions_a_line_each(synthetic_data: Path) -> None:
    dataset = Multi30kCaptions(length=20).load(synthetic_data)
    for split, file in (("train", "train"), ("validation", "val"), ("test", "test_2016_flickr")):
        text = "".join(f"{line}\n" for line in lines(synthetic_data, file))
        assert text.startswith(joined(dataset, split))
        assert len(text) - len(joined(dataset, split)) < 20


def test_the_domain_is_that_of_the_plays(synthetic_data: Path) -> None:
    ours, plays = Multi30kCaptions().load(synthetic_data).domain, TinyShakespeare().load(synthetic_data).domain
    assert (ours.inputs, ours.classes, ours.vocabulary) == (plays.inputs, plays.classes, plays.vocabulary)


def test_captions_with_a_strange_character_are_left_out(root: Path) -> None:
    path = root / "multi30k_en_de/files/train.en.gz"
    path.write_bytes(gzip.compress("\n".join(["A man", "7 men", "A (big) man", "A woman"] * 9).encode()))
    assert joined(Multi30kCaptions(length=8).load(root), "train").startswith("A man\nA woman\nA man\nA woman\n")
    assert joined(Multi30kCaptions(length=8, captions=5).load(root), "train") == ("A man\nA woman\nA man\n")[:17]
    path.write_bytes(gzip.compress(b"7 men\n8 men\n"))
    with pytest.raises(UserError, match=r"train.en.gz: found 0 characters of Tiny Shakespeare's alphabet, expected at least 129"):
        Multi30kCaptions().load(root)


@pytest.mark.skipif("EDGEPRESS_DATA" not in os.environ, reason="set EDGEPRESS_DATA to test the downloaded data sets")
def test_the_real_captions_are_cut_the_same_everywhere() -> None:
    dataset = Multi30kCaptions().load(Path(os.environ["EDGEPRESS_DATA"]))
    assert dataset.sha256 == "12d9364b5eb004762529647542fb553f66c9cec6ecfa557c820f4d070d52209f"
    assert {split: dataset.size(split) for split in dataset.splits} == {"train": 4670, "validation": 491, "test": 478}
