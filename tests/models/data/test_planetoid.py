"""The citation graph is normalised as the paper does it, and a wrong file is refused by edge, node and range."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.data.planetoid import Planetoid
from pipeline.core import Dataset
from pipeline.errors import UserError
from tests.synthetic import planetoid

Changed = Callable[..., str]


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    planetoid.write(tmp_path)
    return Planetoid().load(tmp_path)


@pytest.fixture
def refusal(tmp_path: Path) -> Changed:
    """The line with which a file is refused whose arrays differ as given."""

    def run(**changes: np.ndarray) -> str:
        folder = tmp_path / "planetoid" / "files"
        folder.mkdir(parents=True)
        np.savez(folder / "cora.npz", **{**planetoid.arrays(), **changes})
        with pytest.raises(UserError) as refused:
            Planetoid().load(tmp_path)
        line = str(refused.value)
        assert line.startswith(f"{folder / 'cora.npz'}: ")
        assert "\n" not in line
        return line

    return run


def replaced(name: str, index: object, value: float) -> np.ndarray:
    array = planetoid.arrays()[name].copy()
    array[index] = value
    return array


def test_rows_of_features_sum_to_one(data: Dataset) -> None:
    np.testing.assert_allclose(data.splits["train"]["features"].sum(-1), 1, rtol=1e-6)


def test_adjacency_is_kipf_and_wellings(data: Dataset) -> None:
    edges, n = planetoid.arrays()["edges"], planetoid.NODES
    plain = np.eye(n)
    for first, second in edges:
        plain[first, second] = plain[second, first] = 1
    root = np.diag(plain.sum(1) ** -0.5)
    np.testing.assert_allclose(data.splits["test"]["adjacency"][0], root @ plain @ root, rtol=1e-6)


def test_splits_share_the_graph_and_no_node(data: Dataset) -> None:
    parts = list(data.splits.values())
    assert all(np.shares_memory(part["adjacency"], parts[0]["adjacency"]) for part in parts)
    assert [int(part["wanted"].sum()) for part in parts] == [35, 35, 70]
    assert np.sum([part["wanted"] for part in parts], axis=0).max() == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"edges": replaced("edges", (3, 1), 140)}, "edges: edge 3: found node 140, expected 0 to 139"),
        ({"edges": replaced("edges", (0, 0), -1)}, "edges: edge 0: found node -1, expected 0 to 139"),
        ({"edges": planetoid.arrays()["edges"][:, :1]}, "edges has shape"),
        ({"label": replaced("label", 5, 7)}, "label: node 5: found label 7, expected 0 to 6"),
        ({"label": planetoid.arrays()["label"][1:]}, "found 139 labels, expected 140"),
        ({"test_idx": np.array([70, 999])}, "test_idx: entry 1: found node 999, expected 0 to 139"),
        ({"val_idx": np.array([34, 35])}, "val_idx holds node 34, which is in train_idx already"),
        ({"test_idx": np.array([90, 90])}, "test_idx holds node 90, which is in test_idx already"),
        ({"train_idx": np.array([], int)}, "train_idx is empty"),
        ({"x_shape": np.array([140])}, "x_shape holds 1 numbers, expected 2"),
        ({"x_shape": np.array([10**9, 32])}, "x_shape is [1000000000, 32], expected 1 to"),
        ({"x_shape": np.array([-1, 32])}, "x_shape is [-1, 32], expected 1 to"),
        ({"x_indices": replaced("x_indices", 2, 32)}, "x_indices: entry 2: found feature 32, expected 0 to 31"),
        ({"x_indptr": planetoid.arrays()["x_indptr"][:-1]}, "x_indptr holds 140 numbers, expected 141"),
        ({"x_indptr": replaced("x_indptr", -1, 3)}, "x_indptr runs from 0 to 3, expected 0 to"),
        ({"x_indptr": replaced("x_indptr", 2, 99)}, "x_indptr falls from 99 to"),
        ({"x_data": planetoid.arrays()["x_data"][1:]}, "x_data holds"),
        ({"x_data": replaced("x_data", 4, np.nan)}, "x_data entry 4: found nan"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_makes_no_graph_is_named(changes: dict[str, np.ndarray], words: str, refusal: Changed) -> None:
    assert words in refusal(**changes)


def test_a_missing_file_is_described(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"EDGEPRESS_MIRROR.*planetoid/files/cora\.npz.*x_indptr.*test_idx"):
        Planetoid().load(tmp_path)
