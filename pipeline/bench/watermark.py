"""How often is a picture taken for a made one? `python -m pipeline.bench.watermark` asks 10,000 that are and 10,000 that are not.

The pictures are a data set's test split, each as a sheet of its own, as the reports show them: as they are, and with the mark.
What is stated is the normal distribution's tail.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models._picture import shape_of
from models.tasks import _pictures, _watermark
from pipeline.core import Array, Json, Spec
from pipeline.errors import told
from pipeline.files import write_atomic
from pipeline.places import data_root
from pipeline.registry import ROOT

THRESHOLDS = (2.0, 3.0, 4.0, _watermark.THRESHOLD)
ENLARGED = 2


def scores(name: str) -> tuple[Array, Array]:
    """Of the clean pictures, and of the marked ones."""
    data = Spec("data", name).build().load(data_root())
    shape_of(data.domain, "watermark")
    dark, bright = data.domain.pixels
    (picture,) = data.domain.inputs
    clean, marked = [], []
    for row in track(range(data.size("test")), f"{name}: pictures"):
        shown = _pictures.brightness(data.batch("test", slice(row, row + 1))[picture][0], dark, bright)
        levels = _pictures.levels(shown.repeat(ENLARGED, axis=1).repeat(ENLARGED, axis=2).transpose(1, 2, 0))
        clean.append(_watermark.score(levels))
        marked.append(_watermark.score(_watermark.marked(levels)))
    return np.array(clean), np.array(marked)


def main() -> None:
    """A table, and build/bench/watermark.json."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.bench.watermark", description=__doc__)
    parser.add_argument("data", nargs="*", default=["mnist", "cifar10"], help="data sets of pictures")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/watermark.json")
    given, console, found = parser.parse_args(), Console(), list[Json]()
    table = Table("data", "threshold", "stated false alarms", "measured", "of", "marked ones found")
    for name in given.data:
        clean, marked = scores(name)
        for threshold in THRESHOLDS:
            false, right = int((clean > threshold).sum()), int((marked > threshold).sum())
            stated = _watermark.false_alarms(threshold)
            row = {"data": name, "threshold": threshold, "stated": stated, "false": false, "found": right, "of": len(clean)}
            found.append(row)
            table.add_row(
                name, f"{threshold:g}", f"{stated:.2g}", f"{false / len(clean):.2g} ({false})", f"{len(clean):,}", f"{right:,}"
            )
    console.print(table)
    write_atomic(given.out, json.dumps(found, indent=1).encode())
    console.print(f"written to {given.out}")


if __name__ == "__main__":
    told(main)
