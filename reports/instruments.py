"""What other instruments say of a cell, beside our own figures and never instead of them: a power meter, LiteRT's own tool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reports import words
from reports.record import BenchmarkModel, Energy, Record, Report


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
    if record.energy_mj:
        yield _energy(record.energy_mj)
    if record.benchmark_model:
        yield _tool(record.benchmark_model, record.latency_ms.p50 if record.latency_ms else None)


def _energy(used: Energy) -> str:
    kept = f", {words.millijoules(used.sustained)} when sustained" if used.sustained else ""
    between = f"{words.millijoules(used.lowest)} to {words.millijoules(used.highest)}{kept}"
    return f"{words.millijoules(used.inference)} an inference ({between}), of all that is on {used.meter}, idling included"


def _tool(tool: BenchmarkModel, ours: float | None) -> str:
    """Its figures, and what a call from our Python takes over them."""
    if tool.average is None:
        return tool.reason or "benchmark_model said nothing"
    gap = f", ours takes {words.ratio(ours / tool.average)} that" if ours and tool.average else ""
    spread = [
        f"{name} {words.milliseconds(value)}"
        for name, value in (("at least", tool.minimum), ("at most", tool.maximum), ("standard deviation", tool.deviation))
        if value is not None
    ]
    of = f" of {tool.calls} calls" if tool.calls else ""
    rest = [
        f"{name} {words.milliseconds(value)}" for name, value in (("init", tool.init), ("first", tool.first)) if value is not None
    ]
    rest += [f"memory grown by {words.megabytes(tool.memory)}"] if tool.memory else []
    between = f" ({', '.join(spread)})" if spread else ""
    return "; ".join([f"benchmark_model {words.milliseconds(tool.average)} on average{of}{between}{gap}", *rest])
