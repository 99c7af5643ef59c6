"""What was shown to work: every architecture, float and compressed, in every format on every target. Computed from reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reports import words
from reports.record import Record, Report

FLOAT = "float32"
HOST = "cpu"
"""The target that goes without saying."""
SHOWN = ("onnx", "tflite", "openvino")
MARKS = {"ok": ("✓", "green"), "unsupported": ("-", "magenta"), "failed": ("✗", "bold red")}


@dataclass(frozen=True)
class Cell:
    """One format of a row: what the newest report says."""

    status: str
    metric: str | None
    quality: str
    """As tables print it."""
    verdict: str | None
    """Against the float32 file in the same runtime: better, worse, equivalent, inconclusive."""
    parity: bool | None
    reason: str | None
    preset: str
    report: str
    """Which report says so."""


@dataclass(frozen=True)
class Row:
    """An architecture on a data set, as it is (`float32`) or after some techniques, on a target."""

    family: str
    dataset: str
    techniques: str
    target: str
    """Where it ran; with the word `emulated` where that was no real device."""
    formats: dict[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class Coverage:
    """All rows, and the architectures of which no report tells."""

    rows: list[Row]
    missing: list[str]


def coverage(reports: Iterable[tuple[str, Report]], families: Sequence[str]) -> Coverage:
    """The rows of all reports, given with their names, later reports replacing earlier ones cell by cell."""
    rows: dict[tuple[str, str, str, str], Row] = {}
    shown: dict[tuple[tuple[str, str, str, str], str], str] = {}
    """Of each cell, the report that it is from."""
    for name, report in reports:
        for record in report.records:
            target = record.target if record.provenance == "measured" else f"{record.target}, {record.provenance}"
            place = (record.family or record.model, record.dataset, _techniques(record), target)
            formats = rows.setdefault(place, Row(*place)).formats
            if shown.get((place, record.format)) == name and formats[record.format].status == "ok":
                continue  # of several runtimes or variants of one format in one report, the first that works shows that it works
            shown[place, record.format] = name
            formats[record.format] = _cell(record, report.run.preset, name)
    order = {family: index for index, family in enumerate(families)}
    found = sorted(
        rows.values(),
        key=lambda row: (
            order.get(row.family, len(order)),
            row.family,
            row.dataset,
            row.target != HOST,
            row.target,
            row.techniques != FLOAT,
        ),
    )
    seen = {row.family for row in found}
    return Coverage(found, [family for family in families if family not in seen])


def as_json(found: Coverage) -> dict[str, Any]:
    """The same as data."""
    return asdict(found)


def table(found: Coverage) -> RenderableType:
    """What a person reads; why a cell is empty stands below."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    shown.add_column("architecture, data, metric\n  weights, target", overflow="fold")
    more = sorted({name for row in found.rows for name in row.formats} - {*SHOWN, "torch"})
    headings = [*SHOWN, *more, *(["torch"] if any(map(_torch_elsewhere, found.rows)) else [])]
    for heading in headings:
        shown.add_column(heading, no_wrap=True)
    reasons: dict[str, int] = {}
    previous = None
    for row in found.rows:
        if previous not in (None, (row.family, row.dataset)):
            shown.add_section()
        if previous != (row.family, row.dataset):
            metrics = {cell.metric for cell in row.formats.values() if cell.metric}
            shown.add_row(Text.assemble((row.family, "bold"), f" {row.dataset}", f" {', '.join(map(words.metric, metrics))}"))
        previous = (row.family, row.dataset)
        where = "" if row.target == HOST else f" on {row.target}"
        shown.add_row(f"  {row.techniques}{where}", *(_text(row.formats.get(name), reasons) for name in headings))
    lines: list[RenderableType] = [shown]
    lines += [Text(f"  {number} {reason}", "dim") for reason, number in reasons.items()]
    if found.missing:
        lines.append(Text(f"No report tells of: {', '.join(found.missing)}", "yellow"))
    return Group(*lines)


def _torch_elsewhere(row: Row) -> bool:
    """Whether torch worked on another target than the host, where it is only the yardstick."""
    return row.target != HOST and "torch" in row.formats and row.formats["torch"].status == "ok"


def _techniques(record: Record) -> str:
    return " + ".join(step["technique"] for step in record.steps) or FLOAT


def _cell(record: Record, preset: str, name: str) -> Cell:
    quality = record.quality
    versus = quality.versus_reference if quality else None
    return Cell(
        status=record.status,
        metric=quality.metric if quality else None,
        quality=words.plus_minus(quality),
        verdict=versus.verdict if versus else None,
        parity=record.parity.ok if record.parity else None,
        reason=record.reason,
        preset=preset,
        report=name,
    )


def _text(cell: Cell | None, reasons: dict[str, int]) -> Text:
    if cell is None:
        return Text("")
    mark, style = MARKS[cell.status]
    text = Text(mark, style)
    if cell.status == "ok":
        return text.append(f" {cell.quality}", "")
    return text.append(f" {cell.status} [{reasons.setdefault(cell.reason or 'no reason given', len(reasons) + 1)}]", "dim")
