"""Sentences are read line by line, and a line that is none is refused by its number."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from models.data._subwords import END, PAD, UNKNOWN, decode
from models.data.sst2 import MOST_BYTES, Sst2, hide, read
from pipeline.errors import UserError
from tests.synthetic import sst2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    sst2.write(tmp_path)
    return tmp_path


def test_a_sentence_becomes_tokens_that_are_the_sentence(root: Path) -> None:
    dataset = Sst2(length=32).load(root)
    assert {split: dataset.size(split) for split in dataset.splits} == {"train": 90, "validation": 30, "test": 30}
    for part, split in (("train", "train"), ("dev", "validation"), ("test", "test")):
        sentences, labels = read(root / f"sst2/files/{part}.tsv")
        found = dataset.batch(split, slice(None))
        assert [decode(row, dataset.domain.vocabulary) for row in found["tokens"]] == sentences
        assert found["label"].tolist() == labels
    assert dataset.domain.classes == 2
    assert dataset.domain.inputs["tokens"].shape == (1, 32)


def test_subwords_come_from_training_sentences_alone(root: Path) -> None:
    before = Sst2().load(root)
    (root / "sst2/files/test.tsv").write_text("zebras quiz\t1\n")
    after = Sst2().load(root)
    assert after.domain == before.domain
    assert after.sha256 == before.sha256
    assert (after.splits["test"]["tokens"] == UNKNOWN).any()  # letters that training never saw


def test_a_long_sentence_loses_its_end_but_not_the_mark(root: Path) -> None:
    tokens = Sst2(length=4).load(root).splits["train"]["tokens"]
    assert (tokens[:, 3] == END).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "line 1: found 0 tabs", id="empty file"),
        pytest.param(b"good\t1\nbad\n", "line 2: found 0 tabs", id="no label"),
        pytest.param(b"good\t1\n\nbad\t0\n", "line 2: found 0 tabs", id="empty line"),
        pytest.param(b"good\tfilm\t1\n", "line 1: found 2 tabs", id="two tabs"),
        pytest.param(b"good\t1\n \t0\n", "line 2: found no sentence", id="empty sentence"),
        pytest.param(b"good\t1\nbad\t2\n", "line 2: found label '2', expected 0 or 1", id="another label"),
        pytest.param(b"good\t1\r\n", r"line 1: found label '1\\r'", id="carriage return"),
        pytest.param(b"good\tpositive\n", "line 1: found label 'positive'", id="label in words"),
        pytest.param(b"good\t1\nb\xe9te\t0\n", "line 2: found byte 0xe9, expected UTF-8", id="latin 1"),
    ],
)
def test_what_is_no_such_line_is_refused_by_number(content: bytes, words: str, root: Path) -> None:
    path = root / "sst2/files/dev.tsv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"dev\.tsv: {words}"):
        Sst2().load(root)


def test_an_absurdly_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "dev.tsv"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(UserError, match=f"found {MOST_BYTES + 1} bytes, expected at most {MOST_BYTES}"):
        read(path)


def test_hiding_spares_padding_and_end() -> None:
    tokens = torch.full((500, 20), 9)
    tokens[:, 15], tokens[:, 16:] = END, PAD
    batch = {"tokens": tokens, "label": torch.zeros(500)}
    hidden = hide(batch, torch.Generator().manual_seed(0), 0.25)
    assert torch.equal(hidden["tokens"][:, 15:], tokens[:, 15:])
    assert hidden["label"] is batch["label"]
    share = (hidden["tokens"][:, :15] == UNKNOWN).float().mean()
    assert share == pytest.approx(0.25, abs=0.02)  # four standard deviations
    assert (hide(batch, torch.Generator(), 0.0)["tokens"] == tokens).all()


@pytest.mark.skipif("EDGEPRESS_DATA" not in os.environ, reason="set EDGEPRESS_DATA to test the downloaded data sets")
def test_real_counts() -> None:
    dataset = Sst2().load(Path(os.environ["EDGEPRESS_DATA"]))
    counts = {split: np.bincount(arrays["label"]).tolist() for split, arrays in dataset.splits.items()}
    assert counts == {"train": [3310, 3610], "validation": [428, 444], "test": [912, 909]}
