"""Cora: scientific papers, their words and who cites whom, in the split of the Planetoid paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from models.data._download import Download, folder
from models.data._images import digest
from models.data._npz import read
from pipeline.core import Array, Arrays, Dataset, Domain, TensorSpec
from pipeline.errors import UserError

CLASSES = 7
MOST_NODES = 10_000
"""A dense adjacency of more nodes takes over 400 MB."""
MOST_FEATURES = 10_000
SPLITS = {"train": "train_idx", "validation": "val_idx", "test": "test_idx"}
ARRAYS = {
    "x_indptr": ("integers", 1),
    "x_indices": ("integers", 1),
    "x_data": ("numbers", 1),
    "x_shape": ("integers", 1),
    "edges": ("integers", 2),
    "label": ("integers", 1),
    "train_idx": ("integers", 1),
    "val_idx": ("integers", 1),
    "test_idx": ("integers", 1),
}


@final
@dataclass(frozen=True)
class Planetoid:
    """2708 papers in 7 fields, each a set of 1433 words; 5278 citations. Papers of each field to train on: 20.

    A sample is the whole graph, and the splits differ in the nodes that are wanted: `features` float32 [1, n, f] (each row
    sums to 1), `adjacency` float32 [1, n, n], which is D^-1/2 (A + I) D^-1/2 (Kipf & Welling 2017, arXiv:1609.02907),
    `label` int64 [1, n], `wanted` bool [1, n]: 140 nodes to train, 500 to validate, 1000 to test.
    Source: Z. Yang, W. Cohen, R. Salakhutdinov, "Revisiting Semi-Supervised Learning with Graph Embeddings" (2016),
    https://github.com/kimiyoung/planetoid; the graph is Cora (P. Sen et al., "Collective Classification in Network Data", 2008).

    The file is `cora.npz`, the authors' pickles in plain arrays: the words of each paper as a sparse matrix in compressed rows
    (`x_indptr`, `x_indices`, `x_data`, `x_shape`), `edges` [m, 2] once each, `label` [n], `train_idx`, `val_idx`, `test_idx`.
    """

    licence: ClassVar[str] = "MIT (Zhilin Yang) for the split and its files; none is stated for the papers' data"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            # The authors publish pickles, which may run any code and are not read here. Nobody serves the plain arrays
            # publicly, so only a mirror (EDGEPRESS_MIRROR) has them; `.invalid` is no server, now and ever (RFC 2606).
            url="https://only-from-a-mirror.invalid/planetoid/files/cora.npz",
            file="cora.npz",
            sha256="52fcffe8ff5aa8b88db3f16430af2652a939bf68fb846a604fc90acfff503ef7",
            bytes=101_989,
        ),
    )

    def files(self, root: Path) -> list[Path]:
        """The one file, `root/planetoid/files/cora.npz`."""
        path = folder(root, "planetoid") / "cora.npz"
        if not path.is_file():
            raise UserError(
                f"{path} is missing; get it with `./edgepress data fetch planetoid` and EDGEPRESS_MIRROR set to a server that "
                f"has it (no public one does), or set EDGEPRESS_DATA to a folder that holds planetoid/files/cora.npz "
                f"(numpy arrays {', '.join(ARRAYS)})"
            )
        return [path]

    def load(self, root: Path) -> Dataset:
        """Reads the file. The three splits share the graph's arrays."""
        (path,) = self.files(root)
        found = read(path, ARRAYS)
        _check(path, found)
        label = found["label"].astype(np.int64)[None]
        graph = {"features": _features(found)[None], "adjacency": _adjacency(found)[None], "label": label}
        splits = {split: {**graph, "wanted": _wanted(found[name], label.size)} for split, name in SPLITS.items()}
        specs = {name: TensorSpec(graph[name].shape) for name in ("features", "adjacency")}
        targets = {"label": TensorSpec(label.shape, "int64"), "wanted": TensorSpec(label.shape, "bool")}
        return Dataset(Domain("planetoid", specs, CLASSES, targets), splits, digest(splits["train"]))


def _check(path: Path, found: Arrays) -> None:
    """UserError in one line for arrays that do not make a graph; afterwards every index is good and every size bounded."""
    if found["x_shape"].shape != (2,):
        raise UserError(f"{path}: x_shape holds {found['x_shape'].size} numbers, expected 2 (nodes, features)")
    nodes, features = (int(size) for size in found["x_shape"])
    if not (0 < nodes <= MOST_NODES and 0 < features <= MOST_FEATURES):
        allowed = f"1 to {MOST_NODES} nodes and 1 to {MOST_FEATURES} features"
        raise UserError(f"{path}: x_shape is [{nodes}, {features}], expected {allowed}")
    _check_rows(path, found, nodes)
    if len(found["label"]) != nodes:
        raise UserError(f"{path}: found {len(found['label'])} labels, expected {nodes}, one a node")
    if found["edges"].shape[1] != 2:
        raise UserError(f"{path}: edges has shape {list(found['edges'].shape)}, expected [edges, 2]")
    _check_range(path, "x_indices", "entry", "feature", found["x_indices"], features)
    _check_range(path, "label", "node", "label", found["label"], CLASSES)
    _check_range(path, "edges", "edge", "node", found["edges"], nodes)
    for name in SPLITS.values():
        _check_range(path, name, "entry", "node", found[name], nodes)
    _check_splits(path, found)


def _check_rows(path: Path, found: Arrays, nodes: int) -> None:
    """The compressed rows: where each begins, and a value (finite, not negative) for each index."""
    starts, count = found["x_indptr"].astype(np.int64), len(found["x_indices"])
    if len(starts) != nodes + 1:
        raise UserError(f"{path}: x_indptr holds {len(starts)} numbers, expected {nodes + 1} (nodes + 1)")
    if starts[0] != 0 or starts[-1] != count:
        raise UserError(
            f"{path}: x_indptr runs from {starts[0]} to {starts[-1]}, expected 0 to {count}, the entries of x_indices"
        )
    if (falls := np.flatnonzero(np.diff(starts) < 0)).size:
        row = int(falls[0])
        raise UserError(f"{path}: x_indptr falls from {starts[row]} to {starts[row + 1]} at row {row}, expected it never to")
    values = found["x_data"]
    if len(values) != count:
        raise UserError(f"{path}: x_data holds {len(values)} numbers, expected {count}, the entries of x_indices")
    if (wrong := np.flatnonzero(~(np.isfinite(values) & (values >= 0)))).size:
        raise UserError(f"{path}: x_data entry {wrong[0]}: found {values[wrong[0]]}, expected a finite number from 0 up")


def _check_range(path: Path, name: str, row: str, what: str, values: Array, end: int) -> None:
    """Every value from 0 to end - 1; the first that is not is named by its row."""
    bad = np.argwhere((values < 0) | (values >= end))
    if bad.size:
        place = tuple(bad[0])
        raise UserError(f"{path}: {name}: {row} {place[0]}: found {what} {values[place]}, expected 0 to {end - 1}")


def _check_splits(path: Path, found: Arrays) -> None:
    """Three splits with nodes, and no node twice: neither in a split nor in two."""
    owner: dict[int, str] = {}
    for name in SPLITS.values():
        if not len(found[name]):
            raise UserError(f"{path}: {name} is empty, expected at least one node")
        for node in found[name].tolist():
            if node in owner:
                raise UserError(f"{path}: {name} holds node {node}, which is in {owner[node]} already; expected each node once")
            owner[node] = name


def _features(found: Arrays) -> Array:
    """Dense float32 [n, f], each row divided by its sum (a paper without words stays 0)."""
    dense = np.zeros(tuple(found["x_shape"]), np.float32)
    starts = found["x_indptr"].astype(np.int64)
    rows = np.repeat(np.arange(len(dense)), starts[1:] - starts[:-1])
    np.add.at(dense, (rows, found["x_indices"]), found["x_data"].astype(np.float32))
    sums = dense.sum(axis=1, keepdims=True)
    dense /= np.where(sums > 0, sums, 1)
    return dense


def _adjacency(found: Arrays) -> Array:
    """Dense float32 [n, n]: D^-1/2 (A + I) D^-1/2 with D the row sums of A + I."""
    first, second = found["edges"].T
    dense = np.eye(len(found["label"]), dtype=np.float32)
    dense[first, second] = dense[second, first] = 1
    scale = 1 / np.sqrt(dense.sum(axis=1))
    dense *= scale[:, None]
    dense *= scale
    return dense


def _wanted(index: Array, nodes: int) -> Array:
    chosen = np.zeros((1, nodes), dtype=bool)
    chosen[0, index] = True
    return chosen
