"""The image data sets: what is in them, beyond the contract."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.data.digits import Digits
from models.data.fashion_mnist import FashionMnist
from models.data.mnist import Mnist
from pipeline.core import Dataset
from pipeline.errors import UserError

Write = Callable[[Path, NDArray[Any]], None]
CLASSES = 10


@pytest.fixture
def root(tmp_path: Path, write_idx: Write) -> Path:
    """A data root with 100 training and 20 test images in MNIST's layout."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 100), ("t10k", 20)):
        write_idx(tmp_path / f"mnist/files/{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / f"mnist/files/{part}-labels-idx1-ubyte.gz", np.arange(count) % CLASSES)
    return tmp_path


def identities(dataset: Dataset) -> list[bytes]:
    return [image.tobytes() for arrays in dataset.splits.values() for image in arrays["image"]]


def test_mnist_holds_out_a_stratified_part_of_training(root: Path) -> None:
    dataset = Mnist(validation=30).load(root)
    assert {split: dataset.size(split) for split in dataset.splits} == {"train": 70, "validation": 30, "test": 20}
    assert np.bincount(dataset.splits["validation"]["label"]).tolist() == [3] * CLASSES
    assert len(set(identities(dataset))) == 120


def test_the_digest_is_of_the_training_split(root: Path, write_idx: Write) -> None:
    before = Mnist(validation=30).load(root).sha256
    write_idx(root / "mnist/files/t10k-labels-idx1-ubyte.gz", np.zeros(20))
    assert Mnist(validation=30).load(root).sha256 == before
    assert Mnist(validation=20).load(root).sha256 != before
    write_idx(root / "mnist/files/train-labels-idx1-ubyte.gz", np.zeros(100))
    assert Mnist(validation=30).load(root).sha256 != before


def test_more_validation_than_there_is_says_so(root: Path) -> None:
    with pytest.raises(UserError, match="mnist: validation = 5000 samples, but only 100 are there"):
        Mnist().load(root)


@pytest.mark.parametrize(
    ("source", "size", "images", "sha256"),
    [
        (Mnist(), 28, 60_000, "a3d5fd1536d3999952bb14ccfb0c2040aed99c4aabe5148ba3ab3c84bf7ce217"),
        (FashionMnist(), 28, 60_000, "92c6090d7f94e644a9fcb1e0bd153e4a20c5787e6137dd1f2ae295e7f6c83486"),
        (Digits(), 8, 1_437, "d90b9e628cbe0c9515754880c5c100ed6071685008ac19044e4c062c6535739a"),
    ],
    ids=["mnist", "fashion_mnist", "digits"],
)
def test_real_data_is_standardised_and_split_the_same_everywhere(
    source: Mnist | FashionMnist | Digits, size: int, images: int, sha256: str
) -> None:
    data = os.environ.get("EDGEPRESS_DATA")
    if source.downloads and data is None:
        pytest.skip("set EDGEPRESS_DATA to test the downloaded data sets")
    dataset = source.load(Path(data or "unused"))
    assert dataset.sha256 == sha256
    assert dataset.size("train") == images - source.validation
    assert dataset.size("validation") == source.validation
    assert dataset.splits["train"]["image"].dtype == np.uint8
    assert dataset.splits["train"]["image"].shape[1:] == (1, size, size)
    assert dataset.splits["train"]["label"].dtype == np.int64
    prepared = dataset.batch("train", slice(None))["image"]
    # The constants are rounded to four digits, and stand for the default split or all training images.
    assert abs(prepared.mean(dtype=np.float64)) < 1e-3
    assert abs(prepared.std(dtype=np.float64) - 1) < 1e-3
    train, validation = (np.bincount(dataset.splits[split]["label"]) for split in ("train", "validation"))
    np.testing.assert_allclose(validation, (train + validation) * source.validation / images, atol=1)


def test_digits_splits_share_no_image_and_the_test_is_fixed() -> None:
    dataset, other = Digits().load(Path("unused")), Digits(validation=100).load(Path("unused"))
    assert {split: dataset.size(split) for split in dataset.splits} == {"train": 1077, "validation": 360, "test": 360}
    assert len(set(identities(dataset))) == 1797  # no two samples are alike
    np.testing.assert_array_equal(dataset.splits["test"]["image"], other.splits["test"]["image"])


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    ours, theirs = Digits().load(Path("unused")), load_digits()
    assert {image: int(label) for image, label in zip(identities(ours), labels(ours), strict=True)} == {
        image.astype(np.uint8).tobytes(): int(label) for image, label in zip(theirs.images, theirs.target, strict=True)
    }


def labels(dataset: Dataset) -> list[int]:
    return [int(label) for arrays in dataset.splits.values() for label in arrays["label"]]


@pytest.mark.parametrize(
    "content",
    [
        b"junk",
        gzip.compress(b"1,2,3\n"),
        gzip.compress(b"1,x\n"),
        gzip.compress(b",".join([b"17"] * 65)),
        gzip.compress(b"1\n")[:-4],
    ],
    ids=["not gzip", "three columns", "not numbers", "too bright", "truncated"],
)
def test_a_damaged_digits_file_is_one_line(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sklearn"
    (package / "datasets/data").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "datasets/data/digits.csv.gz").write_bytes(content)
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"digits\.csv\.gz: .*install scikit-learn anew"):
        Digits().load(tmp_path)
