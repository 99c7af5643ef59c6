"""ETTh1: the load and the oil temperature of an electricity transformer, hour by hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Annotated, ClassVar, final

import numpy as np
from annotated_types import Ge, Le

from models.data._download import Download, present
from models.data._images import digest
from pipeline.core import Array, Arrays, Dataset, Domain, TensorSpec
from pipeline.errors import UserError

COLUMNS = ("date", "HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
VARIABLES = len(COLUMNS) - 1
MONTH = 30 * 24
"""Hours. Months of 30 days are how this series is always split."""
PARTS = {"train": (0, 12 * MONTH), "validation": (12 * MONTH, 16 * MONTH), "test": (16 * MONTH, 20 * MONTH)}
"""First and last hour (exclusive) of what is forecast; a history may reach back into the part before."""
HOURS = 20 * MONTH
MOST_BYTES = 1 << 26
BASE = "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/1d16c8f4f943005d613b5bc962e9eeb06058cf07"


@final
@dataclass(frozen=True)
class Ett:
    """What will 7 readings be over the next hours, given those of the last ones?

    12 months to train, 4 to validate, 4 to test (the hours after them stay unused, as is usual). Readings are standardised
    with the mean and standard deviation of the training part. A sample is an `hour`, the first to forecast, stepping by 1
    in every split: `history` float32 [N, H, 7] is what came before it, `future` float32 [N, T, 7] is from it on.
    Variables: useful and useless load, high (HUFL, HULL), middle and low, and the oil temperature OT.
    Source: H. Zhou et al., "Informer: Beyond Efficient Transformer for Long Sequence Time-Series Forecasting" (AAAI 2021),
    https://github.com/zhouhaoyi/ETDataset.
    """

    history: Annotated[int, Ge(1), Le(2 * MONTH)] = 168
    """Hours before the forecast: a week."""
    horizon: Annotated[int, Ge(1), Le(MONTH)] = 24
    """Hours to forecast."""

    licence: ClassVar[str] = "CC BY-ND 4.0 (Haoyi Zhou et al.)"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            url=f"{BASE}/ETT-small/ETTh1.csv",
            file="ETTh1.csv",
            sha256="f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
            bytes=2_589_657,
        ),
    )

    def files(self, root: Path) -> list[Path]:
        """The one file, `root/ett/files/ETTh1.csv`."""
        return present(root, "ett", self.downloads)

    def load(self, root: Path) -> Dataset:
        """Reads the file."""
        (path,) = self.files(root)
        raw = read(path)
        learned = raw[: PARTS["train"][1]]
        if (constant := np.flatnonzero(learned.std(axis=0) == 0)).size:
            name = COLUMNS[1 + constant[0]]
            raise UserError(f"{path}: column {name}: found {learned[0, constant[0]]} all through the training part")
        series = ((raw - learned.mean(axis=0)) / learned.std(axis=0)).astype(np.float32)
        splits = {
            split: {"hour": np.arange(max(start, self.history), end - self.horizon + 1)} for split, (start, end) in PARTS.items()
        }
        return Dataset(
            domain=Domain(
                "ett",
                {"history": TensorSpec((1, self.history, VARIABLES))},
                targets={"future": TensorSpec((1, self.horizon, VARIABLES))},
            ),
            splits=splits,
            sha256=digest({"series": series[: PARTS["train"][1]], **splits["train"]}),
            prepare=partial(windows, series=series, history=self.history, horizon=self.horizon),
        )


def windows(batch: Arrays, series: Array, history: int, horizon: int) -> Arrays:
    """The `history` before each `hour` [N] and the `future` from it on, out of a series [hours, variables]."""
    start = batch["hour"][:, None]
    return {"history": series[start + np.arange(-history, 0)], "future": series[start + np.arange(horizon)]}


def read(path: Path) -> Array:
    """The readings, float64 [hours, 7]; a UserError in one line for the first thing in the file that is not as it must be."""
    if (size := path.stat().st_size) > MOST_BYTES:
        raise UserError(f"{path}: found {size} bytes, expected at most {MOST_BYTES}")
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is no UTF-8, expected a CSV file") from error
    header = tuple(lines[0].split(",")) if lines else ()
    if header != COLUMNS:
        raise UserError(f"{path}: line 1: found columns {','.join(header)[:80]!r}, expected {','.join(COLUMNS)!r}")
    readings, due = np.empty((len(lines) - 1, VARIABLES)), None
    for row, line in enumerate(lines[1:]):
        where = f"{path}: line {row + 2}"
        cells = line.split(",")
        if len(cells) != len(COLUMNS):
            raise UserError(f"{where}: found {len(cells)} cells, expected {len(COLUMNS)}")
        hour = _hour(where, cells[0])
        if due is not None and hour != due:
            raise UserError(f"{where}: column date: found {cells[0]!r}, expected '{due}': the hours must follow each other")
        due = hour + timedelta(hours=1)
        readings[row] = [_number(where, name, cell) for name, cell in zip(COLUMNS[1:], cells[1:], strict=True)]
    if len(readings) < HOURS:
        raise UserError(f"{path}: found {len(readings)} hours, expected at least {HOURS} (20 months of 30 days)")
    return readings


def _hour(where: str, cell: str) -> datetime:
    try:
        hour = datetime.fromisoformat(cell)
    except ValueError:
        hour = None
    if hour is None or hour.tzinfo or str(hour) != cell:  # fromisoformat takes other forms too
        raise UserError(f"{where}: column date: found {cell[:40]!r}, expected a time like '2016-07-01 00:00:00'")
    return hour


def _number(where: str, name: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise UserError(f"{where}: column {name}: found {cell[:40]!r}, expected a finite number")
    return value
