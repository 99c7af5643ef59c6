"""A small graph with seven communities, in the layout of Cora's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

NODES, FEATURES, CLASSES = 140, 32, 7


def arrays() -> dict[str, np.ndarray]:
    """Nodes of a class cite each other more often and use words of their own; 35 to train, 35 to validate, 70 to test."""
    generator = np.random.default_rng(0)
    label = (np.arange(NODES) % CLASSES).astype(np.int8)
    same = label[:, None] == label
    edges = np.argwhere(np.triu(generator.random((NODES, NODES)) < np.where(same, 0.2, 0.01), 1)).astype(np.int32)
    words = generator.random((NODES, FEATURES)) < np.where(np.arange(FEATURES) % CLASSES == label[:, None], 0.5, 0.1)
    words[:, 0] = True  # no node without a word
    return {
        "x_indptr": np.concatenate([[0], np.cumsum(words.sum(1))]).astype(np.int32),
        "x_indices": np.nonzero(words)[1].astype(np.int32),
        "x_data": np.ones(int(words.sum()), np.float32),
        "x_shape": np.array([NODES, FEATURES]),
        "edges": edges,
        "label": label,
        "train_idx": np.arange(35, dtype=np.int32),
        "val_idx": np.arange(35, 70, dtype=np.int32),
        "test_idx": np.arange(70, NODES, dtype=np.int32),
    }


def write(root: Path) -> None:
    """Writes `root/planetoid/files/cora.npz`."""
    folder = root / "planetoid" / "files"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "cora.npz", **arrays())
