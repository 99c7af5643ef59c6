"""Made-up MNIST: bars."""

from __future__ import annotations

from pathlib import Path

from tests.synthetic import _idx


def write(root: Path) -> None:
    """The four files in `root/mnist/files`."""
    _idx.bars(root / "mnist/files")
