"""index.html: the report as one file that opens from a disk with no network, sorts and filters, and prints."""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from reports import batches, chart, layers, words
from reports.instruments import readings
from reports.markdown import HEADINGS
from reports.promise import Promise, kept, promises
from reports.record import LatencyRatio, Record, Report
from reports.samples import beside, picture, samples, sound
from reports.verdict import MARKS, Outcome, baseline, instruction_ratio, judgements, size_ratio

HERE = Path(__file__).parent
COLUMNS = {
    "model": "Model",
    "variant": "Variant",
    "runtime": "Runs in",
    "quality": "Quality",
    "delta": "Versus reference",
    "file": "File",
    "bundle": "Bundle",
    "memory": "Memory",
    "p50": "p50",
    "ratio": "Time ratio",
    "outcome": "Outcome",
}
NUMBERS = {"file", "bundle", "memory", "p50"}


@dataclass(frozen=True)
class Bar:
    """A time ratio as a picture: percent from the left on an axis that is logarithmic around 1."""

    low: float
    at: float
    high: float


@dataclass(frozen=True)
class Row:
    """One cell of the report, ready to be laid out."""

    number: int
    record: Record
    outcome: Outcome | None
    file_ratio: float | None
    instruction_ratio: float | None
    bar: Bar | None

    @property
    def keys(self) -> dict[str, str | float | None]:
        """What each column sorts by; None sorts last, whichever way."""
        r = self.record
        delta = r.quality.versus_reference if r.quality else None
        return {
            "model": f"{r.model} {r.dataset}",
            "variant": r.variant,
            "runtime": f"{r.runtime} {r.format} {r.target}",
            "quality": r.quality.value if r.quality else None,
            "delta": delta.delta if delta else None,
            "file": r.bytes.file,
            "bundle": r.bytes.bundle,
            "memory": r.bytes.peak_memory,
            "p50": r.latency_ms.p50 if r.latency_ms else r.instructions.median if r.instructions else None,
            "ratio": r.versus_baseline.ratio if r.versus_baseline else self.instruction_ratio,
            "outcome": self.outcome,
        }


@dataclass(frozen=True)
class Figure:
    """A panel drawn twice: quality against bytes, and against time."""

    panel: chart.Panel
    bytes: str | None
    latency: str | None


def render(report: Report) -> str:
    """The whole page."""
    script, style = ((HERE / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    # Only this very script may run, and nothing may be fetched: a name that slipped through escaping would still be inert.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    loader = jinja2.FileSystemLoader(HERE)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    judged, curves = judgements(report), batches.rows(report)
    figures = [
        Figure(panel, chart.svg(report, panel, "bytes"), chart.svg(report, panel, "latency")) for panel in chart.panels(report)
    ]
    return environment.get_template("page.html.j2").render(
        report=report,
        run=report.run,
        rows=_rows(report, {id(j.record): j.outcome for j in judged}),
        columns=COLUMNS,
        numbers=NUMBERS,
        figures=figures,
        runtimes=[(name, i % len(chart.CSS.series)) for i, name in enumerate(chart.runtimes(report))],
        judged={outcome: [j for j in judged if j.outcome == outcome] for outcome in HEADINGS},
        headings=HEADINGS,
        marks=MARKS,
        promises=promises(report),
        tally=_tally(promises(report)),
        beside=beside(report),
        readings=readings(report),
        samples=samples(report),
        picture=picture,
        sound=sound,
        curves=curves,
        batch_sizes=batches.sizes(curves),
        blocks=_by_model(layers.blocks(report)),
        layers=layers,
        kept=kept,
        words=words,
        digest=digest,
        script=script,
        style=style,
    )


def _rows(report: Report, outcomes: dict[int, Outcome]) -> list[Row]:
    records, reach = report.records, _reach([r.versus_baseline for r in report.records if r.versus_baseline])
    models = list(dict.fromkeys((r.model, r.dataset) for r in records))
    rows = [
        Row(
            number,
            record,
            outcomes.get(id(record)),
            size_ratio(record, baseline(record, records), "file"),
            instruction_ratio(record, baseline(record, records)),
            _bar(record.versus_baseline, reach),
        )
        for number, record in enumerate(records, start=1)
    ]
    return sorted(rows, key=lambda row: models.index((row.record.model, row.record.dataset)))


def _reach(ratios: Sequence[LatencyRatio]) -> float:
    """How many doublings the bars' axis spans on either side of 1, the same for every row."""
    return max([1.0, *(abs(math.log2(bound)) for paired in ratios for bound in (paired.low, paired.high))])


def _bar(paired: LatencyRatio | None, reach: float) -> Bar | None:
    if paired is None:
        return None
    low, at, high = (round(50 + 50 * math.log2(r) / reach, 1) for r in (paired.low, paired.ratio, paired.high))
    return Bar(low, at, high)


def _by_model(found: Sequence[layers.Block]) -> dict[tuple[str, str], list[layers.Block]]:
    """One section a model."""
    return {(b.model, b.dataset): [each for each in found if (each.model, each.dataset) == (b.model, b.dataset)] for b in found}


def _tally(made: Sequence[Promise]) -> dict[str, Counter[str]]:
    """How many promises of each kind were kept, broken or left open."""
    return {
        "file": Counter(kept(p.file_kept) for p in made),
        "bundle": Counter(
            kept(p.bundle_kept) for p in made if p.record.predicted and p.record.predicted.bundle_ratio is not None
        ),
        "memory": Counter(kept(p.memory.kept) for p in made if p.memory),
        "time": Counter(kept(p.latency_kept) for p in made),
    }
