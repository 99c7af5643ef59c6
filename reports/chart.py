"""Quality against what it costs: one panel a model, data set and target, intervals as bars, the Pareto front as a line."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.errors import UserError
from reports import words
from reports.record import Record, Report

if TYPE_CHECKING:
    import altair as alt

Cost = Literal["bytes", "latency"]
TITLES: dict[Cost, str] = {"bytes": "file, KB", "latency": "p50, ms"}
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
FAR = 8
"""A point this many times as far from the best as the median point is pinned to the lower edge; it would flatten the rest. Where
most points are as good as the best, it is this many times half of the median interval."""

CLOSE = 0.05
"""Points that are no further apart than this share of an axis have one place for their names."""


@dataclass(frozen=True)
class Palette:
    """Colours as any SVG renderer knows them, or as CSS variables that follow the page's light and dark."""

    ink: str
    muted: str
    grid: str
    front: str
    paper: str
    series: tuple[str, ...]


# Okabe and Ito's colours, told apart by readers of every colour vision; the shapes say the same again.
PAPER = Palette(
    "#23211d", "#6a665e", "#e5e1d8", "#8a857a", "#ffffff", ("#0072b2", "#d55e00", "#009e73", "#b0568d", "#a07000", "#2f86b7")
)
CSS = Palette(
    "var(--ink)", "var(--muted)", "var(--line)", "var(--front)", "var(--paper)", tuple(f"var(--series-{i})" for i in range(6))
)


@dataclass(frozen=True)
class Panel:
    """The cells that may share a chart: one model judged by one metric on one target."""

    model: str
    dataset: str
    target: str
    metric: str
    rows: list[int]
    """Indices of the report's records that have a quality."""

    @property
    def title(self) -> str:
        """What the chart's heading says."""
        return f"{self.model} on {self.dataset}, {self.target}"


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (cost, quality) points that no other beats: none costs less or as little for more, nor less for as much.

    >>> pareto([(1, 0.90), (2, 0.95), (3, 0.94), (2, 0.95)])
    [0, 1, 3]
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i))
    front: list[int] = []
    for i in order:
        if not front or points[i][1] > points[front[-1]][1] or points[i] == points[front[-1]]:
            front.append(i)
    return front


def panels(report: Report) -> list[Panel]:
    """The report's charts, in its order."""
    found: dict[tuple[str, str, str, str], list[int]] = {}
    for i, record in enumerate(report.records):
        if record.status == "ok" and record.quality is not None:
            found.setdefault((record.model, record.dataset, record.target, record.quality.metric), []).append(i)
    return [Panel(*key, rows) for key, rows in found.items()]


def runtimes(report: Report) -> list[str]:
    """The runtimes in order of appearance; their place gives colour and shape, the same in every panel."""
    return list(dict.fromkeys(record.runtime for record in report.records))


def _cost(record: Record, cost: Cost) -> tuple[float, float, float] | None:
    """Value and bounds on the cost axis; a latency gets the relative width of its paired ratio, a file is exact."""
    if cost == "bytes":
        return None if not record.bytes.file else (record.bytes.file / 1e3,) * 3
    p50, paired = record.latency_ms.p50 if record.latency_ms else None, record.versus_baseline
    if not p50:
        return None
    return (p50, p50 * paired.low / paired.ratio, p50 * paired.high / paired.ratio) if paired else (p50, p50, p50)


def _describe(index: int, record: Record) -> str:
    """What a pointer or a screen reader is told; the row's number leads to its line in the table."""
    time = words.milliseconds(record.latency_ms.p50 if record.latency_ms else None)
    name = f"{record.model} {record.variant}, {record.format} in {record.runtime} on {record.target}"
    measured = f"{record.quality.metric if record.quality else ''} {words.plus_minus(record.quality)}"
    ratio = f", {words.interval(record.versus_baseline)} the reference's time" if record.versus_baseline else ""
    return f"Row {index + 1}: {name}: {measured}; file {words.kilobytes(record.bytes.file)}; p50 {time}{ratio}"


def _rows(report: Report, panel: Panel, cost: Cost) -> list[dict[str, Any]]:
    """One plain dictionary a point, in the unit of the axes."""
    scale = 100 if words.is_fraction(panel.metric) else 1
    rows: list[dict[str, Any]] = []
    for i in panel.rows:
        record = report.records[i]
        x, quality = _cost(record, cost), record.quality
        if x is None or quality is None:
            continue
        y = {"y": quality.value * scale, "y_low": quality.low * scale, "y_high": quality.high * scale}
        row = {"x": x[0], "x_low": x[1], "x_high": x[2], **y, "runtime": record.runtime, "variant": record.variant}
        rows.append({**row, "about": _describe(i, record), "up": quality.higher_is_better})
    front = [rows[i] for i in pareto([(row["x"], row["y"] if row["up"] else -row["y"]) for row in rows])]
    for row in front:
        row["front"] = True
    _pin(rows)
    _name(front, rows)
    return rows


def _name(front: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Writes the front's variants beside its points, each once, since its formats lie close; two in one place share it."""
    if not front:
        return
    low, high = (math.log(pick(row["x"] for row in rows)) for pick in (min, max))
    tall = max(row["y_high"] for row in rows) - min(row["y_low"] for row in rows)
    first: dict[str, dict[str, Any]] = {}
    for row in front:
        first.setdefault(row["variant"], row)
    shown: list[dict[str, Any]] = []
    for row in first.values():
        for other in shown:
            wide, apart = abs(math.log(row["x"] / other["x"])), abs(row["y"] - other["y"])
            if wide <= CLOSE * (high - low) and apart <= CLOSE * tall:
                other["names"] += f", {row['variant']}"
                break
        else:
            row.update(name="left" if math.log(row["x"]) < (low + high) / 2 else "right", names=row["variant"])
            shown.append(row)


def _pin(rows: list[dict[str, Any]]) -> None:
    """Moves points that are far worse than the rest to just below it, marked, so that the rest stays readable."""
    if not rows:
        return
    sign = 1 if rows[0]["up"] else -1
    best = max(sign * row["y"] for row in rows)
    usual = statistics.median(best - sign * row["y"] for row in rows)
    doubt = statistics.median(row["y_high"] - row["y_low"] for row in rows) / 2
    floor = best - FAR * max(usual, doubt, 1e-3 * abs(best), 1e-9)
    for row in rows:
        if sign * row["y"] < floor:
            row.update(y=sign * floor, y_low=sign * floor, y_high=sign * floor, pinned=True)
            row["about"] += "; far off the scale"


def _axes(rows: list[dict[str, Any]], panel: Panel, cost: Cost) -> alt.Chart:
    """The axes: a logarithmic cost, and the quality zoomed to where the points are."""
    import altair as alt

    low, high = min(row["x_low"] for row in rows), max(row["x_high"] for row in rows)
    air = max((high / low) ** 0.07, 1.05)
    decades = range(math.floor(math.log10(low / air)), math.ceil(math.log10(high * air)) + 1)
    digits = (1, 2, 5) if high / low > 10 else (1, 1.5, 2, 3, 5, 7)
    ticks = alt.Axis(values=[digit * 10.0**decade for decade in decades for digit in digits], format=",~r", grid=False)
    unit = ", %" if words.is_fraction(panel.metric) else ("" if rows[0]["up"] else ", lower is better")
    better_up = alt.Scale(zero=False, padding=14, nice=False, reverse=not rows[0]["up"])
    return alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("x:Q", scale=alt.Scale(type="log", domain=[low / air, high * air], nice=False), axis=ticks, title=TITLES[cost]),
        y=alt.Y("y:Q", scale=better_up, axis=alt.Axis(tickCount=5), title=f"{panel.metric}{unit}"),
    )


def _points(base: alt.Chart, named: list[str], palette: Palette, legend: bool) -> list[alt.Chart]:
    """The cells with their intervals; the reference is hollow."""
    import altair as alt

    places = range(len(named))
    series, shapes = [palette.series[i % len(palette.series)] for i in places], [SHAPES[i % len(SHAPES)] for i in places]
    key = alt.Legend(title=None, symbolFillColor="transparent") if legend else None
    color = alt.Stroke("runtime:N", scale=alt.Scale(domain=named, range=series), legend=key)
    fill = alt.Fill("runtime:N", scale=alt.Scale(domain=named, range=series), legend=None)
    shape = alt.Shape("runtime:N", scale=alt.Scale(domain=named, range=shapes), legend=key)
    hollow = alt.condition("datum.variant == 'reference'", alt.value(0), alt.value(0.9))
    bars = base.mark_rule(strokeWidth=1, opacity=0.45, aria=False).encode(stroke=color)
    marks = base.mark_point(size=62, strokeWidth=1.6, opacity=1)
    return [
        bars.encode(y="y_low:Q", y2="y_high:Q"),
        bars.encode(x="x_low:Q", x2="x_high:Q"),
        marks.encode(stroke=color, fill=fill, fillOpacity=hollow, shape=shape, description="about:N"),
    ]


def draw(report: Report, panel: Panel, cost: Cost, palette: Palette, legend: bool = True) -> alt.LayerChart | None:
    """One panel; None when nothing in it has that cost."""
    import altair as alt

    rows = _rows(report, panel, cost)
    if not rows:
        return None
    base = _axes(rows, panel, cost)
    steps = base.transform_filter("datum.front").mark_line(
        interpolate="step-after", color=palette.front, strokeDash=[4, 3], strokeWidth=1.2, aria=False
    )
    sides: tuple[tuple[Literal["left", "right"], int], ...] = (("left", -4), ("right", -5))
    # Above and to the left of the front there is no point, by definition: that is where its names stand.
    names = [
        base.transform_filter(f"datum.name == '{side}'")
        .mark_text(align=side, baseline="bottom", dx=dx, dy=-5, fontSize=11, aria=False, **halo)
        .encode(text="names:N")
        for side, dx in sides
        for halo in ({"stroke": palette.paper, "strokeWidth": 3, "strokeOpacity": 0.8}, {"color": palette.ink})
    ]
    return alt.LayerChart(layer=[steps, *_points(base, runtimes(report), palette, legend), *names])


def dress(chart: Any, palette: Palette) -> dict[str, Any]:
    """The chart with its colours and type, as a specification."""
    axis = {"labelColor": palette.muted, "titleColor": palette.muted, "gridColor": palette.grid, "domainColor": palette.grid}
    return (  # type: ignore[no-any-return]
        chart.configure(background=palette.paper, font="system-ui, sans-serif")
        .configure_view(stroke=None, continuousWidth=350, continuousHeight=240)
        .configure_axis(**axis, tickColor=palette.grid, labelFontSize=11, titleFontSize=11, titleFontWeight="normal")
        .configure_title(color=palette.ink, fontSize=13, anchor="start", subtitleColor=palette.muted)
        .configure_legend(labelColor=palette.ink, titleColor=palette.muted, orient="bottom")
        .to_dict()
    )


def svg(report: Report, panel: Panel, cost: Cost, palette: Palette = CSS) -> str | None:
    """One panel as SVG, drawn here: nothing is fetched and no script is needed to see it."""
    import vl_convert

    chart = draw(report, panel, cost, palette, legend=False)
    return None if chart is None else str(vl_convert.vegalite_to_svg(dress(chart, palette), allowed_base_urls=[]))


def write(report: Report, path: Path, cost: Cost = "bytes") -> None:
    """Every panel in one picture for a README, .svg or .png by the name of the file."""
    import altair as alt
    import vl_convert

    if path.suffix not in (".svg", ".png"):
        raise UserError(f"{path}: a chart cannot be written as {path.suffix or 'a file without suffix'}; allowed: .svg, .png")
    drawn = [(panel, draw(report, panel, cost, PAPER)) for panel in panels(report)]
    key = "dashed: Pareto front; hollow: reference; bars: 95 % intervals"
    titled = [c.properties(title=alt.Title(panel.title, subtitle=key)) for panel, c in drawn if c is not None]
    if not titled:
        raise UserError(f"{path}: no chart: no record of run {report.run.id} has both a quality and a {cost} figure")
    spec = dress(alt.concat(*titled, columns=2), PAPER)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".svg":
        path.write_text(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]), encoding="utf-8")
    else:
        path.write_bytes(vl_convert.vegalite_to_png(spec, scale=2, allowed_base_urls=[]))
