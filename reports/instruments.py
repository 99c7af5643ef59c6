"""What other instruments say of a cell, beside our own figures and never instead of them: a power meter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reports import words
from reports.record import Record, Report


@dataclass(frozen=True)
class Reading:
    """What the instruments say of one cell."""

    subject: str
    lines: list[str]


def readings(report: Report) -> list[Reading]:
    """The cells of which an instrument says something, in the report's order."""
    named = zip(report.records, words.names(report.records), strict=True)
    found = [Reading(name, list(_lines(record))) for record, name in named]
    return [each for each in found if each.lines]


def _lines(record: Record) -> Iterator[str]:
    used = record.energy_mj
    if used:
        kept = f", {words.millijoules(used.sustained)} when sustained" if used.sustained else ""
        between = f"{words.millijoules(used.lowest)} to {words.millijoules(used.highest)}{kept}"
        yield f"{words.millijoules(used.inference)} an inference ({between}), of all that is on {used.meter}, idling included"
