"""Throughput against batch size, of the cells that have it: a row a cell, a column a batch size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports import words
from reports.record import Batch, Record, Report


@dataclass(frozen=True)
class Row:
    """One cell's curve."""

    subject: str
    record: Record
    points: dict[int, Batch]
    best: int | None
    """The batch size of the highest throughput; None where not even one batch could be run."""
    ended: str

    def cells(self, sizes: Sequence[int]) -> list[str]:
        """Samples a second at each size."""
        return [words.per_second(self.points[size].per_second) if size in self.points else words.NONE for size in sizes]

    @property
    def finding(self) -> str:
        """The curve in one line."""
        if self.best is None:
            return f"none; {self.ended}"
        first, best = next(iter(self.points.values())), self.points[self.best]
        start = f"{words.per_second(first.per_second)} at batch {first.batch}"
        grown = f", at most {words.per_second(best.per_second)} at {best.batch} ({words.milliseconds(best.p50)} a call)"
        return start + (grown if best is not first else "") + f"; ended at {max(self.points)}: {self.ended}"


def rows(report: Report) -> list[Row]:
    """The curves in the report's order."""
    found = []
    for record, subject in zip(report.records, words.names(report.records), strict=True):
        if record.throughput:
            points = {point.batch: point for point in record.throughput.points}
            best = max(points, key=lambda size: points[size].per_second, default=None)
            found.append(Row(subject, record, points, best, record.throughput.ended))
    return found


def sizes(found: Sequence[Row]) -> list[int]:
    """Every batch size that some cell has."""
    return sorted({size for row in found for size in row.points})
