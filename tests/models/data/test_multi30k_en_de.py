"""Multi30k: pairs stay pairs, the reference stays raw, and a damaged file is one line that says where."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.data._subwords import END, decode
from models.data.multi30k_en_de import Multi30kEnDe
from pipeline.errors import UserError

Write = Callable[..., Path]
SOURCE = Multi30kEnDe(vocabulary=300, length=32)
ENGLISH, GERMAN = ["A man sleeps.", "Two dogs run in the snow."], ["Ein Mann schläft.", "Zwei Hunde rennen im Schnee."]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes two pairs a split, with other bytes in some files; gives the data root."""

    def files(**changes: bytes) -> Path:
        folder = tmp_path / "multi30k_en_de" / "files"
        folder.mkdir(parents=True, exist_ok=True)
        for split in ("train", "val", "test_2016_flickr"):
            for language, lines in (("en", ENGLISH), ("de", GERMAN)):
                text = changes.get(f"{split}_{language}", "".join(f"{line}\n" for line in lines).encode())
                (folder / f"{split}.{language}.gz").write_bytes(text if text[:2] == b"\x1f\x8b" else gzip.compress(text))
        return tmp_path

    return files


def test_pairs_can_be_read_in_both_languages(write: Write) -> None:
    dataset = SOURCE.load(write())
    train, domain = dataset.splits["train"], dataset.domain
    assert [decode(row, domain.vocabulary) for row in train["source"]] == ["A man sleeps.", "Two dogs run in the snow."]
    assert decode(train["target"][0], domain.vocabulary) == "Ein Mann schläft."
    assert domain.inputs["source"].shape == domain.targets["target"].shape == (1, 32)
    assert domain.classes == len(domain.vocabulary) <= 300


def test_the_reference_is_whole_and_raw_where_the_target_is_cut(write: Write) -> None:
    long = "Ein  sehr langer Satz; mit \u201eZeichen\u201c, die niemand kennt: \u6f22 und noch viel mehr "
    test = SOURCE.load(write(test_2016_flickr_de=f"{long}\nKurz.\n".encode())).splits["test"]
    assert test["target"][0, -1] == END
    assert [row.tobytes().rstrip(b"\0").decode() for row in test["reference"]] == [long, "Kurz."]


def test_the_vocabulary_comes_from_the_training_pairs_alone(write: Write) -> None:
    before = SOURCE.load(write())
    after = SOURCE.load(write(val_de=b"Xylophon\n" * 2, test_2016_flickr_en=b"Qwertz qwertz\n" * 2))
    assert (after.domain, after.sha256) == (before.domain, before.sha256)


def test_a_last_line_needs_no_line_break_and_strange_ones_break_no_line(write: Write) -> None:
    dataset = SOURCE.load(write(train_en="A\u2028man\x85sleeps.\nTwo dogs".encode()))
    assert dataset.size("train") == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"One\n\nThree\n", r"train\.de\.gz: line 2: found an empty line, expected a caption"),
        (b"One\n \t\n", r"train\.de\.gz: line 2: found an empty line, expected a caption"),
        (b"One\nTw\0o\n", r"train\.de\.gz: line 2: found a NUL character, expected a caption"),
        (b"One\nSch\xe4fer\n", r"train\.de\.gz: line 2: found byte e4 at column 4, expected UTF-8"),
        (b"One\n" + b"x" * 5000, r"train\.de\.gz: line 2: found 5000 bytes, expected at most 4096"),
        (b"One\n", r"train\.en\.gz holds 2 lines, but .*train\.de\.gz holds 1; expected a translation of each"),
        (b"", r"train\.de\.gz: found 0 bytes of text, expected 1 to 67108864"),
        (gzip.compress(b"x\n" * 500)[:-9], r"train\.de\.gz: cannot be unpacked .*, expected an intact \.gz file"),
        (b"\x1f\x8bjunk", r"train\.de\.gz: cannot be unpacked .*, expected an intact \.gz file"),
        (gzip.compress(bytes(70_000_000), 1), r"train\.de\.gz: found more bytes of text, expected 1 to 67108864"),
    ],
    ids=["empty", "blank", "nul", "latin-1", "long", "fewer", "nothing", "truncated", "junk", "bomb"],
)
def test_a_damaged_file_is_one_line_that_says_where(content: bytes, said: str, write: Write) -> None:
    with pytest.raises(UserError, match=said):
        SOURCE.load(write(train_de=content))


def test_real_captions_are_all_there_and_can_be_read() -> None:
    if (root := os.environ.get("EDGEPRESS_DATA")) is None:
        pytest.skip("set EDGEPRESS_DATA to the folder that holds multi30k_en_de/files")
    dataset = Multi30kEnDe().load(Path(root))
    assert {split: dataset.size(split) for split in dataset.splits} == {"train": 29_000, "validation": 1_014, "test": 1_000}
    assert dataset.sha256 == "12741d8859ecbf626e89a1e32c5e76255237fcbfe79213c2effea490b3d4c3c3"
    test = dataset.splits["test"]
    whole = test["target"][:, -1] == 0
    read = [decode(row, dataset.domain.vocabulary) for row in test["target"][whole]]
    assert read == [row.tobytes().rstrip(b"\0").decode() for row in test["reference"][whole]]
    assert np.mean(whole) > 0.99
