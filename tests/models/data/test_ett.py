"""Windows are cut where they should be, the future leaks nowhere, and a hole in the file is named by line and column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.data.ett import MONTH, PARTS, Ett, read
from pipeline.core import Dataset
from pipeline.errors import UserError
from tests.synthetic import ett

LINES = ett.lines()
ROW = 40
"""Of LINES; in the file it is line ROW + 1."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ett")
    ett.write(folder)
    return folder


@pytest.fixture(scope="module")
def data(root: Path) -> Dataset:
    return Ett().load(root)


def test_history_ends_where_the_future_begins(root: Path, data: Dataset) -> None:
    raw = read(root / "ett/files/ETTh1.csv")
    learned = raw[: 12 * MONTH]
    series = (raw - learned.mean(0)) / learned.std(0)
    for split, place in (("train", 0), ("validation", 7), ("test", -1)):
        hour = int(data.splits[split]["hour"][place])
        batch = data.batch(split, [place])
        np.testing.assert_allclose(batch["history"][0], series[hour - 168 : hour], atol=1e-5)
        np.testing.assert_allclose(batch["future"][0], series[hour : hour + 24], atol=1e-5)


def test_no_hour_is_forecast_in_two_splits(data: Dataset) -> None:
    for split, (start, end) in PARTS.items():
        hours = data.splits[split]["hour"]
        assert hours.min() >= start
        assert hours.max() + 24 == end
        assert (np.diff(hours) == 1).all()  # the judge's bootstrap relies on it


def test_only_the_training_part_sets_the_scale(root: Path, data: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "ett/files"
    folder.mkdir(parents=True)
    cells = [line.split(",") for line in LINES]
    later = [",".join([row[0], *(f"{float(cell) * 9}" for cell in row[1:])]) for row in cells[1 + 12 * MONTH :]]
    (folder / "ETTh1.csv").write_text("\n".join([*LINES[: 1 + 12 * MONTH], *later]))
    other = Ett().load(tmp_path)
    assert other.sha256 == data.sha256
    np.testing.assert_array_equal(other.batch("train", [5])["future"], data.batch("train", [5])["future"])


def test_options_set_the_window(root: Path) -> None:
    data = Ett(history=48, horizon=6).load(root)
    assert data.domain.inputs["history"].shape == data.batch("test", [0])["history"].shape == (1, 48, 7)
    assert data.domain.targets["future"].shape == data.batch("test", [0])["future"].shape == (1, 6, 7)


def with_cell(column: int, text: str) -> list[str]:
    cells = LINES[ROW].split(",")
    cells[column] = text
    return [*LINES[:ROW], ",".join(cells), *LINES[ROW + 1 :]]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (lambda: with_cell(3, ""), "line 41: column MUFL: found '', expected a finite number"),
        (lambda: with_cell(7, "nan"), "line 41: column OT: found 'nan', expected a finite number"),
        (lambda: with_cell(1, "1.2.3"), "line 41: column HUFL: found '1.2.3', expected a finite number"),
        (lambda: with_cell(0, "yesterday"), "line 41: column date: found 'yesterday', expected a time"),
        (lambda: with_cell(0, "2016-07-02"), "line 41: column date: found '2016-07-02', expected a time"),
        (
            lambda: [*LINES[:ROW], *LINES[ROW + 1 :]],
            "line 41: column date: found '2016-07-02 16:00:00', expected '2016-07-02 15:00",
        ),
        (
            lambda: [*LINES[:ROW], *LINES[ROW - 1 :]],
            "line 41: column date: found '2016-07-02 14:00:00', expected '2016-07-02 15:00",
        ),
        (lambda: [*LINES[:ROW], LINES[ROW] + ",1", *LINES[ROW + 1 :]], "line 41: found 9 cells, expected 8"),
        (lambda: [*LINES[:ROW], "", *LINES[ROW:]], "line 41: found 1 cells, expected 8"),
        (lambda: LINES[1:], "line 1: found columns"),
        (list, "line 1: found columns ''"),
        (lambda: LINES[:-1], "found 14399 hours, expected at least 14400"),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_a_hole_is_named_by_line_and_column(lines: Callable[[], list[str]], words: str, tmp_path: Path) -> None:
    path = tmp_path / "ETTh1.csv"
    path.write_text("\n".join(lines()))
    with pytest.raises(UserError) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path}: {words}")
    assert "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ETTh1.csv"
    path.write_bytes(LINES[0].encode() + b"\n\xff\xfe")
    with pytest.raises(UserError, match="byte 38 is no UTF-8"):
        read(path)


def test_a_constant_reading_cannot_be_standardised(tmp_path: Path) -> None:
    folder = tmp_path / "ett/files"
    folder.mkdir(parents=True)
    cells = [line.split(",") for line in LINES[1:]]
    (folder / "ETTh1.csv").write_text("\n".join([LINES[0], *(",".join([*row[:7], "5.0"]) for row in cells)]))
    with pytest.raises(UserError, match=r"column OT: found 5\.0 all through the training part"):
        Ett().load(tmp_path)
