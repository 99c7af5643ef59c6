"""A file's layers one by one: what each stores, computes in, costs and minds; the reference's beside the compressed one's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from pipeline.errors import unknown
from reports import words
from reports.record import Anatomy, Layer, Record, Report

SHOWN = 8
"""Layers of a file that the page shows; the others are one line."""
BAR = 8
"""Characters of a full bar in a terminal."""


@dataclass(frozen=True)
class Row:
    """One layer, or all that are not shown."""

    name: str
    operator: str
    bytes: int
    share: float
    """Of the file's bytes."""
    zeros: float | None
    precision: str
    time: float | None
    """Share of the operators' time."""
    milliseconds: float | None
    sensitivity: float | None


@dataclass(frozen=True)
class Group:
    """One file's rows."""

    variant: str
    rows: list[Row]
    note: str
    """Its bytes and its time in words."""


@dataclass(frozen=True)
class Block:
    """A model's files in one runtime, the reference first."""

    model: str
    dataset: str
    place: str
    groups: list[Group]
    most_bytes: int
    most_time: float

    def bytes_width(self, row: Row) -> float:
        """Percent of the largest bar of bytes, the same scale in all groups."""
        return round(100 * row.bytes / max(1, self.most_bytes), 1)

    def time_width(self, row: Row) -> float:
        """Percent of the largest bar of time."""
        return round(100 * (row.milliseconds or 0) / self.most_time, 1) if self.most_time else 0.0


def blocks(report: Report) -> list[Block]:
    """The files that were looked into, by model and runtime."""
    found: dict[tuple[str, str, str, str], list[Record]] = {}
    for record in report.records:
        if record.anatomy:
            found.setdefault((record.model, record.dataset, record.runtime, record.target), []).append(record)
    places = len({target for _, _, _, target in found}) > 1
    return [
        _block(model, dataset, f"{runtime} on {target}" if places else runtime, records)
        for (model, dataset, runtime, target), records in found.items()
    ]


def _block(model: str, dataset: str, place: str, records: Sequence[Record]) -> Block:
    ordered = sorted(records, key=lambda record: record.variant != "reference")
    groups = [Group(r.variant, rows(r.anatomy, r.anatomy.layers, SHOWN), _note(r.anatomy)) for r in ordered if r.anatomy]
    every = [row for group in groups for row in group.rows]
    return Block(
        model,
        dataset,
        place,
        groups,
        max((row.bytes for row in every), default=0),
        max((row.milliseconds or 0 for row in every), default=0),
    )


def rows(found: Anatomy, layers: Sequence[Layer], most: int | None = None) -> list[Row]:
    """The layers with the most bytes or time in the file's order, then all others as one, then what is no operator's."""
    size = max(1, found.file)
    telling = [each for each in layers if each.bytes or each.time is not None]
    shown = sorted(telling, key=lambda each: max(each.bytes / size, each.time or 0), reverse=True)[:most]
    chosen = [_row(each, found) for each in telling if each in shown]
    used, left = found.constants + found.tables, found.operators - len(chosen)
    if left:
        others = used - sum(row.bytes for row in chosen)
        time = 1 - sum(row.time or 0 for row in chosen) if found.operators_ms else None
        chosen.append(_rest(f"{left} others", others, max(0.0, time) if time is not None else None, found))
    if found.file > used:
        chosen.append(_rest("the graph's description", found.file - used, None, found))
    return chosen


def _row(layer: Layer, found: Anatomy) -> Row:
    return Row(
        layer.name,
        layer.operator,
        layer.bytes,
        layer.bytes / max(1, found.file),
        layer.zeros,
        precision(layer),
        layer.time,
        layer.time * found.operators_ms if layer.time is not None and found.operators_ms else None,
        layer.sensitivity,
    )


def _rest(name: str, size: int, time: float | None, found: Anatomy) -> Row:
    spent = time * found.operators_ms if time is not None and found.operators_ms else None
    return Row(name, "", size, size / max(1, found.file), None, "", time, spent, None)


def precision(layer: Layer) -> str:
    """`int8 in float32`: stored, computed; one word where they are the same.

    >>> precision(Layer("a", "GRU", 9, 9, 0.0, "int8", "float32")), precision(Layer("b", "Conv", 9, 9, 0.0, "int8", "int8"))
    ('int8 in float32', 'int8')
    """
    if layer.stored and layer.computed and layer.stored != layer.computed:
        return f"{layer.stored} in {layer.computed}"
    return layer.stored or layer.computed or ""


def _note(found: Anatomy) -> str:
    time = f"{words.milliseconds(found.operators_ms)} in operators" if found.operators_ms else found.untimed or "not timed"
    return f"{found.operators} operators, {words.kilobytes(found.file)}, {time}"


def chosen(report: Report, model: str, variant: str, runtime: str | None) -> list[Record]:
    """The records that are asked for. UserError for a name that the report does not have, or a file nobody looked into."""
    found = report.records
    for kind, name in (("model", model), ("variant", variant), ("runtime", runtime)):
        if name is None:
            continue
        known = list(dict.fromkeys(getattr(record, kind) for record in found))
        if name not in known:
            raise unknown(kind, name, known, f"report {report.run.id}")
        found = [record for record in found if getattr(record, kind) == name]
    return found


def table(record: Record, layers: Sequence[Layer]) -> Table:
    """A file's layers for a terminal."""
    found = record.anatomy
    assert found is not None  # whoever asks has looked
    title = Text.assemble((f"{record.model} {record.variant}", "bold"), f" in {record.runtime}: {_note(found)}")
    drawn = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    drawn.add_column("layer\n  operator, precision", overflow="fold")
    drawn.add_column("bytes\nshare", justify="right", no_wrap=True)
    drawn.add_column("zeros", justify="right", no_wrap=True)
    drawn.add_column("time\nshare", justify="right", no_wrap=True)
    drawn.add_column("sensitivity", justify="right", no_wrap=True)
    for row in rows(found, layers):
        drawn.add_row(*_cells(row))
    return drawn


def _cells(row: Row) -> Iterator[Text]:
    """Two lines a layer, which leaves room for its name in a terminal of 80 columns."""
    operator = ", ".join(word for word in (row.operator, row.precision) if word)
    yield Text(row.name + (f"\n  {operator}" if operator else ""))
    yield Text(f"{row.bytes:,}\n{_bar(row.share)}")
    yield Text(percent(row.zeros))
    yield Text(words.milliseconds(row.milliseconds) + (f"\n{_bar(row.time)}" if row.time is not None else ""))
    yield Text(sensitivity(row.sensitivity))


def _bar(share: float) -> str:
    return f"{'█' * round(BAR * share)} {percent(share):>6}"


def percent(share: float | None) -> str:
    """A share of 1 in percent.

    >>> percent(0.957), percent(0.004), percent(0.0001), percent(None)
    ('96 %', '0.4 %', '<0.1 %', '-')
    """
    if share is None:
        return words.NONE
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0095 or share == 0 else f"{100 * share:.1f} %"


def sensitivity(share: float | None) -> str:
    """A share of the outputs' squares.

    >>> sensitivity(0.00123), sensitivity(None)
    ('0.12 %', '-')
    """
    return words.NONE if share is None else f"{100 * share:.2g} %"
