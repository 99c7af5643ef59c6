"""The audit of what was promised: predicted beside measured, and a sentence for each gap between the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports import words
from reports.findings import About, findings
from reports.record import LatencyRatio, Predicted, Record, Report
from reports.verdict import PEAK_MARGIN, baseline, judgements, size_ratio

PROMISE_MARGIN = 0.10
"""Promised bytes come from parameter counts: headers and alignment may add this share before a promise is broken."""
TIME_MARGIN = 0.03
"""Inside this share two latencies are called equivalent."""
UNEXPLAINED = "nothing in the file explains it"


@dataclass(frozen=True)
class Memory:
    """Bytes that a peak should be lower by, those by which it is, and the doubt of that difference."""

    promised: int
    saved: int
    doubt: int

    @property
    def kept(self) -> bool | None:
        """None where the difference is too small to be seen in a peak."""
        if self.saved < self.promised - self.doubt:
            return False
        return True if self.promised > self.doubt else None


@dataclass(frozen=True)
class Promise:
    """What a variant's techniques promised for one cell beside what was measured."""

    record: Record
    subject: str
    file_ratio: float | None
    file_kept: bool | None
    """None where it was not measured, or where no difference can be told."""
    bundle_ratio: float | None
    bundle_kept: bool | None
    memory: Memory | None
    """None where less was not promised, or nothing measured."""
    latency_kept: bool | None
    gaps: tuple[tuple[About, str], ...]
    """A sentence for what is not kept, and what else the file shows."""

    @property
    def finding(self) -> str:
        """All promises in words."""
        promised, paired = self.record.predicted, self.record.versus_baseline
        if promised is None:
            return "promised nothing"
        parts = [
            f"promised {words.ratio(promised.file_ratio)} bytes, got {words.ratio(self.file_ratio)} ({kept(self.file_kept)})"
        ]
        if promised.bundle_ratio is not None:
            got = f"got {words.ratio(self.bundle_ratio)} ({kept(self.bundle_kept)})"
            parts.append(f"{words.ratio(promised.bundle_ratio)} download, {got}")
        if self.memory:
            saved = f"{words.saved(self.memory.saved)} ± {words.saved(self.memory.doubt)}"
            parts.append(f"{words.saved(self.memory.promised)} less memory, got {saved} ({kept(self.memory.kept)})")
        time = f"{words.ratio(promised.latency_ratio)} the time, got {words.interval(paired)} ({kept(self.latency_kept)})"
        return "; ".join([*parts, f"promised {time}"]) + f", to show in: {promised.where}"


def kept(promise: bool | None) -> str:
    """A promise's fate as a word."""
    return {True: "kept", False: "broken", None: "undecided"}[promise]


def promises(report: Report) -> list[Promise]:
    """Predicted beside measured. A latency promise is broken only when the whole measured interval lies above it."""
    return [
        _promise(record, baseline(record, report.records), record.predicted, name)
        for record, name in zip(report.records, words.names(report.records), strict=True)
        if record.predicted is not None and record.status == "ok"
    ]


def _promise(record: Record, reference: Record | None, predicted: Predicted, name: str) -> Promise:
    file, bundle = size_ratio(record, reference, "file"), size_ratio(record, reference, "bundle")
    file_kept, bundle_kept = _within(file, predicted.file_ratio), _within(bundle, predicted.bundle_ratio)
    memory = _memory(record, reference, predicted)
    latency_kept = _latency(record.versus_baseline, predicted)
    fates: dict[About, bool | None] = {
        "file": file_kept if file is not None else True,
        "bundle": bundle_kept if bundle is not None and predicted.bundle_ratio is not None else True,
        "memory": memory.kept if memory else True,
        "time": latency_kept if record.versus_baseline else True,
    }
    gaps = _gaps(record, reference, [about for about, fate in fates.items() if fate is not True], memory)
    return Promise(record, name, file, file_kept, bundle, bundle_kept, memory, latency_kept, gaps)


def _within(ratio: float | None, promised: float | None) -> bool | None:
    return None if ratio is None or promised is None else ratio <= promised * (1 + PROMISE_MARGIN)


def _memory(record: Record, reference: Record | None, predicted: Predicted) -> Memory | None:
    """The bytes of weights that the file should be smaller by are bytes that the process need not hold."""
    if (
        reference is None
        or reference.bytes.file is None
        or reference.bytes.peak_memory is None
        or record.bytes.peak_memory is None
    ):
        return None
    promised = round((1 - predicted.file_ratio) * reference.bytes.file)
    saved = reference.bytes.peak_memory - record.bytes.peak_memory
    return Memory(promised, saved, round(PEAK_MARGIN * reference.bytes.peak_memory)) if promised > 0 else None


def _latency(measured: LatencyRatio | None, promised: Predicted) -> bool | None:
    """True when the interval lies at or below the promise, False when above, None when it straddles or is missing."""
    bound = promised.latency_ratio * (1 + TIME_MARGIN)
    if measured is None or measured.low <= bound < measured.high:
        return None
    return measured.high <= bound


def _gaps(
    record: Record, reference: Record | None, open_: Sequence[About], memory: Memory | None
) -> tuple[tuple[About, str], ...]:
    """The finding that explains most of each gap, and those that are telling in themselves; each sentence once."""
    found, gaps = findings(record, reference), list[tuple[About, str]]()
    for about in open_:
        told = next((each.sentence for each in found if about in each.about), UNEXPLAINED if record.anatomy else None)
        if about == "memory" and memory and memory.kept is None:
            small, doubt = words.saved(memory.promised), words.saved(memory.doubt)
            told = f"{small} of weights are too little to be seen in a peak, whose doubt is {doubt}"
        if told:
            gaps.append((about, told))
    more: list[tuple[About, str]] = [(each.about[-1], each.sentence) for each in found if each.telling]
    return tuple({why if why != UNEXPLAINED else about: (about, why) for about, why in reversed([*gaps, *more])}.values())[::-1]


def sentences(report: Report) -> list[str]:
    """One plain line a compressed cell, then one for each that made a promise, with its gaps."""
    made = promises(report)
    lines = [f"{p.subject}: {p.finding}" for p in made]
    return (
        [j.sentence for j in judgements(report)] + lines + [f"{p.subject}: {about}: {why}" for p in made for about, why in p.gaps]
    )
