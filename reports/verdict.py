"""What paid and what did not: each compressed cell against the reference in the same runtime on the same target.

A gain counts only when it is beyond its own doubt: a file that differs by more than 3 %, a process peak (which carries no
interval) by more than 10 %, a latency whose paired verdict says so. A quality that cannot be told apart is never called kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.measure import verdict
from reports import words
from reports.record import LatencyRatio, Record, Report

Outcome = Literal["paid", "in part", "did not pay", "unknown", "no result"]
SIZE_MARGIN = 0.03
PEAK_MARGIN = 0.10

MARKS: dict[Outcome, str] = {"paid": "✓", "in part": "~", "did not pay": "✗", "unknown": "?", "no result": "!"}


@dataclass(frozen=True)
class Judgement:
    """One compressed cell, judged."""

    record: Record
    outcome: Outcome
    subject: str
    """The cell's name, unique in its report."""
    finding: str

    @property
    def sentence(self) -> str:
        """The whole line."""
        return f"{self.subject}: {self.finding}"


def baseline(record: Record, records: Sequence[Record]) -> Record | None:
    """The reference of the same model in the same runtime on the same target; of several, the one in the same format."""
    same = [
        r
        for r in records
        if (r.variant, r.model, r.dataset, r.runtime, r.target)
        == ("reference", record.model, record.dataset, record.runtime, record.target)
    ]
    return min(same, key=lambda r: r.format != record.format, default=None)


def size_ratio(record: Record, reference: Record | None, which: Literal["file", "bundle", "peak_memory"]) -> float | None:
    """One of the three sizes over the reference's."""
    if reference is None:
        return None
    ours: int | None = getattr(record.bytes, which)
    theirs: int | None = getattr(reference.bytes, which)
    return None if ours is None or not theirs else ours / theirs


def instruction_ratio(record: Record, reference: Record | None) -> float | None:
    """Instructions of one inference over the reference's, where a board is emulated."""
    if reference is None or record.instructions is None or reference.instructions is None or record.variant == "reference":
        return None
    return record.instructions.median / reference.instructions.median


def calls_ratio(record: Record, reference: Record | None) -> float | None:
    """Inferences that make one result over the reference's; None where they are as many."""
    if reference is None or record.quality is None or reference.quality is None:
        return None
    found = record.quality.calls / reference.quality.calls
    return None if found == 1 else found


def result_ratio(record: Record, reference: Record | None) -> LatencyRatio | None:
    """The time of a result, of all its calls, over the reference's."""
    paired, calls = record.versus_baseline, calls_ratio(record, reference)
    if paired is None or calls is None:
        return paired
    ratio, low, high = (each * calls for each in (paired.ratio, paired.low, paired.high))
    return LatencyRatio(ratio, low, high, verdict(ratio, low, high))


def _join(parts: Sequence[str]) -> str:
    """`bytes, download and time`."""
    return " and ".join([*([", ".join(parts[:-1])] if parts[1:] else []), *parts[-1:]])


def _time(record: Record, reference: Record | None) -> str:
    """The latency in words, with how it was had unless it was measured; instructions where a board is emulated."""
    paired, counted = record.versus_baseline, instruction_ratio(record, reference)
    if counted is not None:
        return f"{words.ratio(counted)} instructions ({record.provenance})"
    if paired is None:
        return "time not measured"
    between = f"[{paired.low:.2f}, {paired.high:.2f}]"
    text = {
        "slower": f"{words.ratio(paired.ratio)} slower {between}",
        "faster": f"{words.ratio(paired.ratio)} the time {between}, faster",
        "equivalent": f"time equivalent {between}",
        "inconclusive": f"time undecided {words.interval(paired)}",
    }[paired.verdict]
    return text if record.provenance == "measured" else f"{text} ({record.provenance})"


def _quality(record: Record) -> str:
    """The paired quality in words."""
    if record.quality is None:
        return "quality not measured"
    paired, metric = record.quality.versus_reference, record.quality.metric
    if paired is None:
        return f"{words.metric(metric)} not compared with the reference"
    amount = f"{words.difference(paired.delta, metric)} {words.span(paired.low, paired.high, metric)}"
    return f"{words.metric(metric)} {paired.verdict}" + ("" if paired.verdict == "equivalent" else f" ({amount})")


def _effects(record: Record, reference: Record | None, paired: LatencyRatio | None) -> tuple[list[str], list[str], bool]:
    """The names of what got better, of what got worse, and whether anything but quality could be judged at all."""
    sizes = [
        ("bytes", size_ratio(record, reference, "file"), SIZE_MARGIN),
        ("download", size_ratio(record, reference, "bundle"), SIZE_MARGIN),
        ("memory", size_ratio(record, reference, "peak_memory"), PEAK_MARGIN),
    ]
    gains = [name for name, ratio, margin in sizes if ratio is not None and ratio < 1 - margin]
    losses = [name for name, ratio, margin in sizes if ratio is not None and ratio > 1 + margin]
    for effects in (gains, losses):
        if "bytes" in effects and "download" in effects:
            effects.remove("download")  # a smaller file also travels smaller: one effect, not two
    if paired is not None and paired.verdict == "faster":
        gains.append("time")
    if paired is not None and paired.verdict == "slower":
        losses.append("time")
    return gains, losses, paired is not None or any(ratio is not None for _, ratio, _ in sizes)


def _conclude(record: Record, reference: Record | None) -> tuple[Outcome, str]:
    """The outcome and the words that end the sentence."""
    time = result_ratio(record, reference)
    gains, losses, judged = _effects(record, reference, time)
    paired = record.quality.versus_reference if record.quality else None
    kept = paired.verdict if paired else "unknown"
    if not judged and kept != "better":
        return "unknown", "nothing to judge it by"
    if kept == "better":
        gains.append("quality")
    if not gains:
        # The time may hide a gain that this run could not show; bytes and a lost quality cannot.
        open_question = time is None or time.verdict == "inconclusive"
        return "did not pay", "no gain shown, did not pay" if open_question and not losses else "did not pay"
    pays = f"pays in {_join(gains)}"
    if losses:
        pays += f", not in {_join(losses)}"
    if kept == "worse":
        return "in part", f"{pays}, and costs quality"
    if kept in ("inconclusive", "unknown"):
        return "in part", f"{pays}, if the quality holds"
    return ("in part" if losses else "paid"), pays


def judge(record: Record, reference: Record | None, subject: str) -> Judgement:
    """Weighs one cell's gains against its losses."""
    if record.status != "ok":
        return Judgement(record, "no result", subject, f"{record.status}: {record.reason or 'no reason was given'}")
    outcome, ending = _conclude(record, reference)
    file, bundle = size_ratio(record, reference, "file"), size_ratio(record, reference, "bundle")
    parts = ["bytes not measured" if file is None else f"{words.ratio(file)} bytes"]
    if file is not None and bundle is not None and abs(bundle - file) > SIZE_MARGIN:
        # The two differ where a technique makes a file compressible without making it smaller.
        parts.append(f"{words.ratio(bundle)} download")
    time = _time(record, reference)
    if calls := calls_ratio(record, reference):
        parts.append(f"{words.ratio(calls)} calls for a result")
        time += " a call"
    return Judgement(record, outcome, subject, f"{', '.join([*parts, time, _quality(record)])}: {ending}")


def judgements(report: Report) -> list[Judgement]:
    """Every cell but the references that have a result, in the report's order."""
    named = zip(report.records, words.names(report.records), strict=True)
    return [judge(r, baseline(r, report.records), name) for r, name in named if r.variant != "reference" or r.status != "ok"]
