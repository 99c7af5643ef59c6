"""Two reports side by side: what changed beyond its own uncertainty, and a gate for continuous integration.

Absolute latencies of two runs come from different processes, often from different hosts, and are never compared. What is
compared is the time of a result over the reference's, each paired inside its own run: it shows that a variant lost its gain, and
cannot show that the variant and its reference became slower together.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.errors import UserError
from reports import words
from reports.record import Quality, Record, Report
from reports.verdict import baseline, result_ratio

Subject = Literal["quality", "bytes", "bundle", "latency"]
FORMS = {
    "quality drop > 0.5 points": "percentage points, for metrics that are fractions",
    "quality drop > 2 %": "of A's value, for any metric",
    "bytes ratio > 1.1": "B's file over A's",
    "bytes growth > 10 %": "the same, in percent",
    "bundle ratio > 1.1": "B's compressed bundle over A's",
    "bundle growth > 10 %": "the same, in percent",
    "latency ratio > 1.2": "B's time ratio over A's, by the lower end of its interval",
    "latency growth > 20 %": "the same, in percent",
}


class Cell(NamedTuple):
    """What lines two records up."""

    model: str
    dataset: str
    variant: str
    format: str
    runtime: str
    target: str

    def __str__(self) -> str:
        return f"{self.model} {self.variant} ({self.dataset}; {self.format} in {self.runtime} on {self.target})"


class Estimate(NamedTuple):
    """A value with its 95 % interval; an exact one has no width."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Change:
    """One cell in both reports; None where a report lacks it. Their `versus_baseline` is that of a result, of all its calls."""

    cell: Cell
    before: Record | None
    after: Record | None

    def quality(self) -> Estimate | None:
        """B's quality minus A's in the metric's unit, negative is worse; from the two unpaired intervals, so it is cautious."""
        a, b = (r.quality if r else None for r in (self.before, self.after))
        if a is None or b is None or (a.metric, a.higher_is_better) != (b.metric, b.higher_is_better):
            return None
        moved = b.value - a.value
        low = moved - math.hypot(b.value - b.low, a.high - a.value)
        high = moved + math.hypot(b.high - b.value, a.value - a.low)
        return Estimate(moved, low, high) if a.higher_is_better else Estimate(-moved, -high, -low)

    def size(self, which: Literal["file", "bundle"]) -> Estimate | None:
        """B's bytes over A's; exact."""
        a, b = (getattr(r.bytes, which) if r else None for r in (self.before, self.after))
        return None if not a or b is None else Estimate(b / a, b / a, b / a)

    def latency(self) -> Estimate | None:
        """B's time ratio over A's, its interval joined from both in logarithms; None when threads or batch differ."""
        a, b = (r.versus_baseline if r else None for r in (self.before, self.after))
        if a is None or b is None or _setup(self.before) != _setup(self.after):
            return None
        moved = math.log(b.ratio / a.ratio)
        low = moved - math.hypot(math.log(b.ratio / b.low), math.log(a.high / a.ratio))
        high = moved + math.hypot(math.log(b.high / b.ratio), math.log(a.ratio / a.low))
        return Estimate(math.exp(moved), math.exp(low), math.exp(high))

    def of(self, subject: Subject) -> Estimate | None:
        """The change of what a rule is about."""
        if subject == "quality":
            return self.quality()
        if subject == "latency":
            return self.latency()
        return self.size("file" if subject == "bytes" else "bundle")


def _setup(record: Record | None) -> tuple[int, int] | None:
    latency = record.latency_ms if record else None
    return (latency.threads, latency.batch) if latency else None


def _has(record: Record, subject: Subject) -> bool:
    found = {
        "quality": record.quality,
        "bytes": record.bytes.file,
        "bundle": record.bytes.bundle,
        "latency": record.versus_baseline,
    }
    return found[subject] is not None


def compare(a: Report, b: Report) -> list[Change]:
    """Every cell of either report, in A's order, then what only B has."""
    before, after = _cells(a), _cells(b)
    return [Change(cell, before.get(cell), after.get(cell)) for cell in dict.fromkeys([*before, *after])]


def _cells(report: Report) -> dict[Cell, Record]:
    found: dict[Cell, Record] = {}
    for record in report.records:
        cell = Cell(record.model, record.dataset, record.variant, record.format, record.runtime, record.target)
        if cell in found:
            raise UserError(f"run {report.run.id}: two records of {cell}; a comparison needs one of each")
        found[cell] = replace(record, versus_baseline=result_ratio(record, baseline(record, report.records)))
    return found


def differences(change: Change) -> list[tuple[str, str]]:
    """What changed beyond its uncertainty: (subject, words)."""
    a, b = change.before, change.after
    if a is None or b is None:
        there = b or a
        return [("cell", f"{'appeared' if a is None else 'disappeared'}, {there.status if there else ''}")]
    if a.status != b.status:
        return [("status", f"{a.status}, now {b.status}{f': {b.reason}' if b.reason else ''}")]
    found: list[tuple[str, str]] = []
    quality = change.quality()
    if quality and a.quality and (quality.low > 0 or quality.high < 0):
        found.append(("quality", _quality_words(quality, a.quality)))
    for subject, which in (("bytes", "file"), ("bundle", "bundle")):
        old, new = getattr(a.bytes, which), getattr(b.bytes, which)
        if old is not None and new is not None and old != new:
            found.append((subject, f"{words.kilobytes(old)}, now {words.kilobytes(new)} ({new - old:+,} bytes)"))
    latency = change.latency()
    if latency and (latency.low > 1 or latency.high < 1):
        old_new = f"{words.interval(a.versus_baseline)}, now {words.interval(b.versus_baseline)}"
        found.append(("latency", f"ratio to the reference {old_new}: {_factor(latency)}"))
    subjects: tuple[Subject, ...] = ("quality", "bytes", "bundle", "latency")
    return found + [(s, _gap(change, s)) for s in subjects if _has(a, s) != _has(b, s) or (_has(a, s) and change.of(s) is None)]


def _gap(change: Change, subject: Subject) -> str:
    """Why a figure cannot be compared."""
    if change.after is None or not _has(change.after, subject):
        return "measured in A, not in B"
    if change.before is None or not _has(change.before, subject):
        return "measured in B, not in A"
    return "not comparable: the two were measured in different ways (metric, threads or batch)"


def _quality_words(moved: Estimate, metric: Quality) -> str:
    return f"{metric.metric} {words.difference(moved.value, metric.metric)} {words.span(moved.low, moved.high, metric.metric)}"


def _factor(moved: Estimate) -> str:
    exact = moved.low == moved.high
    return f"{moved.value:.3f}x" if exact else f"{moved.value:.2f}x [{moved.low:.2f}, {moved.high:.2f}]"


def setting(a: Report, b: Report) -> list[str]:
    """How the two runs differ as runs: what a reader must know before blaming the code."""
    runs = (a.run, b.run)
    pairs = [
        ("host", *(r.host.cpu for r in runs)),
        ("os", *(r.host.os for r in runs)),
        ("recipe", *(r.recipe_sha256[:12] for r in runs)),
    ]
    pairs += [("preset", *(r.preset for r in runs)), ("seed", *(str(r.seed) for r in runs))]
    pairs += [(n, *(r.versions.get(n, "absent") for r in runs)) for n in sorted(a.run.versions | b.run.versions)]
    return [f"{name}: {old}, now {new}" for name, old, new in pairs if old != new]


def table(changes: Sequence[Change]) -> RenderableType:
    """What changed, for a terminal."""
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("cell", "what", "change beyond its uncertainty"):
        grid.add_column(column, overflow="fold")
    changed = [(change, differences(change)) for change in changes]
    for change, found in changed:
        for i, (subject, text) in enumerate(found):
            grid.add_row(Text("" if i else str(change.cell)), Text(subject), Text(text))
    still = sum(not found for _, found in changed)
    note = "Latency is compared by its ratio to the reference, paired inside each run; milliseconds of two runs are not compared."
    ending = Text(f"{still} of {len(changes)} cells unchanged within their uncertainty. {note}", "dim")
    return Group(grid, ending) if still < len(changed) else ending


@dataclass(frozen=True)
class Rule:
    """A line that B must not cross, as `--fail-on` says it.

    Quality fails by its point estimate: both runs judge the same test samples, so the drop is real for these samples, and an
    unpaired interval would let drops of several points pass. Bytes are exact. Latency fails only when the whole interval lies
    beyond the line: a noisy neighbour must not fail a build.
    """

    subject: Subject
    relation: Literal["drop", "ratio", "growth"]
    limit: float
    unit: Literal["points", "%", ""]

    @classmethod
    def parse(cls, text: str) -> Rule:
        """A rule from its words; anything else is one line with the allowed forms and the nearest."""
        match = re.fullmatch(r"(\w+)\s+(\w+)\s*>\s*(\d+(?:\.\d+)?)\s*(points|%|)", text.strip())
        subject, relation, limit, unit = match.groups() if match else ("", "", "", "")
        forms = {tuple(re.sub(r"> [\d.]+", "", form).split()) for form in FORMS}
        if match is None or tuple(filter(None, (subject, relation, unit))) not in forms:
            near = difflib.get_close_matches(text, FORMS, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ";"
            raise UserError(f"--fail-on: no such rule {text!r}{hint} (allowed: {', '.join(map(repr, FORMS))})")
        return cls(subject, relation, float(limit), unit)  # type: ignore[arg-type]  # FORMS lists the literals

    def __str__(self) -> str:
        return f"{self.subject} {self.relation} > {self.limit:g} {self.unit}".rstrip()

    def applies(self, change: Change) -> bool:
        """Points are for fractions of 1 only; every other rule is for every cell that A measured."""
        quality = change.before.quality if change.before else None
        return self.unit != "points" or (quality is not None and words.is_fraction(quality.metric))

    def broken(self, change: Change) -> str | None:
        """The words of a violation."""
        moved = change.of(self.subject)
        if change.before is None or change.after is None or not _has(change.before, self.subject) or not self.applies(change):
            return None
        if moved is None:
            return f"{self.subject} {_gap(change, self.subject)}"
        if self.subject == "quality" and change.before.quality:
            scale = 1.0 if self.unit == "points" else abs(change.before.quality.value)
            drop, text = -moved.value, _quality_words(moved, change.before.quality)
            return text if drop * 100 > self.limit * scale * (1 + 1e-9) else None
        limit = self.limit if self.relation == "ratio" else 1 + self.limit / 100
        return f"{self.subject} ratio {_factor(moved)}" if moved.low > limit * (1 + 1e-9) else None


def violations(changes: Sequence[Change], rules: Sequence[Rule]) -> list[str]:
    """One line a broken rule. What was ok in A and is not in B always counts: a gate that a missing cell passes is no gate."""
    found = []
    for change in changes:
        a, b = change.before, change.after
        if a is None or a.status != "ok":
            continue
        if b is None or b.status != "ok":
            found.append(f"{change.cell}: ok, now {f'{b.status}: {b.reason}' if b else 'gone'}")
            continue
        found += [f"{change.cell}: {words_} (rule: {rule})" for rule in rules if (words_ := rule.broken(change))]
    return found


def uncovered(changes: Sequence[Change], rules: Sequence[Rule]) -> list[str]:
    """Cells whose quality no rule could judge though a quality rule was given: its metric is not a fraction."""
    asked = [rule for rule in rules if rule.subject == "quality"]
    missed = [c for c in changes if c.quality() is not None and asked and not any(rule.applies(c) for rule in asked)]
    return [f"{c.cell}: points are no unit of this metric; add a rule such as 'quality drop > 2 %'" for c in missed]
