"""Waves of a day and a week with some noise, in the layout of ETTh1.csv: twenty months, no hour more."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

HOURS = 20 * 30 * 24


def lines() -> list[str]:
    """The file's lines, header first."""
    hour = np.arange(HOURS)[:, None]
    generator = np.random.default_rng(0)
    variable = np.arange(7)
    readings = 10 + np.sin(2 * np.pi * hour / 24 + variable) + 0.5 * np.sin(2 * np.pi * hour / 168 + 2 * variable)
    readings += 0.2 * generator.standard_normal(readings.shape)
    start = datetime(2016, 7, 1)
    rows = (",".join(f"{value:.3f}" for value in row) for row in readings)
    dated = (f"{start + timedelta(hours=index)},{row}" for index, row in enumerate(rows))
    return ["date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT", *dated]


def write(root: Path) -> None:
    """Writes `root/ett/files/ETTh1.csv`."""
    folder = root / "ett" / "files"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ETTh1.csv").write_text("\n".join(lines()) + "\n")
