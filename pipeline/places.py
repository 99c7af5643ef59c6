"""Where things are: $EDGEPRESS_HOME (build/ when unset) for what we make, $EDGEPRESS_DATA for data sets."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pipeline.registry import ROOT


def home() -> Path:
    """The folder for everything that a run makes."""
    return Path(os.environ.get("EDGEPRESS_HOME") or ROOT / "build").resolve()


def data_root() -> Path:
    """The folder of the data sets, one sub-folder each."""
    return Path(os.environ.get("EDGEPRESS_DATA") or home() / "data").resolve()


def store_root() -> Path:
    """The folder of the content-addressed store."""
    return home() / "store"


def runs_root() -> Path:
    """The folder of the runs' reports."""
    return home() / "runs"


def measuring_lock() -> Path:
    """Held by whoever measures on this host, whatever its home: two at once would measure each other."""
    return Path(tempfile.gettempdir()) / f"edgepress-{os.getuid()}-measuring.lock"
