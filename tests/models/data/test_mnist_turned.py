"""MNIST turned: the same digits and labels, each image where a quarter turn and an inversion put it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.data.mnist import Mnist
from models.data.mnist_turned import MnistTurned
from pipeline.errors import UserError


def test_images_are_turned_and_inverted_in_the_same_splits(synthetic_data: Path) -> None:
    plain, turned = Mnist().load(synthetic_data), MnistTurned().load(synthetic_data)
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(plain.splits[split]["label"], turned.splits[split]["label"])
        before, after = plain.splits[split]["image"], turned.splits[split]["image"]
        np.testing.assert_array_equal(after[:, :, 27 - 5, 3], 255 - before[:, :, 3, 5])  # against the clock
    assert plain.sha256 != turned.sha256
    assert plain.domain.inputs == turned.domain.inputs and plain.domain.classes == turned.domain.classes


def test_neither_turned_nor_inverted_it_is_mnist(synthetic_data: Path) -> None:
    plain, same = Mnist().load(synthetic_data), MnistTurned(turns=0, inverted=False).load(synthetic_data)
    assert plain.sha256 == same.sha256
    np.testing.assert_array_equal(plain.batch("test", slice(0, 3))["image"], same.batch("test", slice(0, 3))["image"])


@pytest.mark.parametrize("inverted", [False, True])
def test_what_comes_in_from_outside_is_paper(synthetic_data: Path, inverted: bool) -> None:
    data = MnistTurned(inverted=inverted).load(synthetic_data)
    paper = data.prepare({"image": np.full((1, 1, 28, 28), 255 * inverted, np.uint8)})["image"]
    assert data.augment is not None
    moved = data.augment({"image": torch.from_numpy(paper).repeat(8, 1, 1, 1)}, torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved["image"], torch.from_numpy(paper).repeat(8, 1, 1, 1), rtol=0, atol=1e-5)


def test_missing_files_name_the_data_set_that_has_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"get it with `\./edgepress data fetch mnist`"):
        MnistTurned().load(tmp_path)
