"""Promised beside measured, and a sentence for each gap."""

import dataclasses
from pathlib import Path

import pytest

from reports import markdown, page
from reports.document import load
from reports.promise import UNEXPLAINED, promises, sentences
from reports.record import Anatomy, Bytes, Kind, LatencyRatio, Predicted
from tests.reports.conftest import cell, reference, report_of

PUBLISHED = sorted((Path(page.__file__).parent / "published").glob("*.json"))
MADE = Predicted(0.25, 0.5, "file", 0.2)
CONV = Kind("Conv", 3, 20_000, 20_000, 0.0, "int8", "float32", 0.9, "conv_1")
LOOKED = Anatomy(20_000, 0, 9_000, 0, 3, [CONV], [], 3, operators_ms=0.1, call_ms=0.1, file=26_000)


def only(predicted=MADE, before=None, **changes):
    (promise,) = promises(report_of(before or reference(), cell(predicted=predicted, **changes)))
    return promise


def test_promised_beside_measured():
    promise = only(Predicted(0.25, 0.5, "file, and int8 kernels"))
    assert (promise.file_kept, promise.bundle_kept, promise.latency_kept) == (True, None, False)
    assert promise.finding == (
        "promised 0.25x bytes, got 0.26x (kept); 75.0 KB less memory, got 1.0 MB ± 4.2 MB (undecided); "
        "promised 0.50x the time, got 1.37x [1.33, 1.41] (broken), to show in: file, and int8 kernels"
    )


def test_what_travels_is_held_against_its_own_promise():
    assert only().bundle_kept is False, "24 of 93 KB is more than a fifth"
    assert "0.20x download, got 0.26x (broken)" in only().finding
    assert only(bytes=Bytes(26_000, 20_000)).bundle_kept is True
    assert only(bytes=Bytes(26_000, None)).bundle_kept is None


def test_a_promise_inside_the_interval_is_undecided_and_one_not_measured_too():
    assert only(versus_baseline=LatencyRatio(0.52, 0.45, 0.6, "faster")).latency_kept is None
    nothing = only(versus_baseline=None, bytes=Bytes())
    assert (nothing.latency_kept, nothing.file_kept, nothing.memory) == (None, None, None)
    assert nothing.gaps == (), "what was not measured has no gap to explain"


@pytest.mark.parametrize(
    ("file", "peak", "kept"),
    [
        (40_000_000, 70_000_000, True),  # 30 of the 30 MB that were promised
        (40_000_000, 99_000_000, False),  # 1 MB of 30, and the doubt is 10
        (4_000_000, 99_000_000, None),  # 3 MB are not to be seen in a peak of 100
        (4_000_000, 120_000_000, False),  # it grew by more than the doubt
    ],
)
def test_memory_is_what_the_peaks_differ_by_and_their_doubt(file, peak, kept):
    before = reference(bytes=Bytes(file, file, 100_000_000))
    assert only(before=before, bytes=Bytes(file // 4, file // 4, peak)).memory.kept is kept


def test_nothing_less_was_promised_of_the_memory():
    assert only(Predicted(1.0, 1.0, "bundle", 0.1)).memory is None


def test_each_gap_has_a_sentence_and_no_two_are_the_same():
    gaps = only(anatomy=LOOKED).gaps
    assert {about for about, _ in gaps} == {"bundle", "time", "memory"} and len({why for _, why in gaps}) == len(gaps)
    why = dict(gaps)
    assert why["time"].startswith("dequantized before use: 3 Conv compute in float32 with weights stored as int8")
    assert why["memory"] == "75.0 KB of weights are too little to be seen in a peak, whose doubt is 4.2 MB"
    assert "have 9.0 KB of entropy" in why["bundle"]


def test_a_file_that_shows_nothing_is_said_to_show_nothing_and_one_not_looked_into_is_passed_over():
    bare = dataclasses.replace(LOOKED, kinds=[], file=20_000, operators_ms=None, constants=20_000)
    assert dict(only(anatomy=bare).gaps)["time"] == UNEXPLAINED
    assert [about for about, _ in only().gaps] == ["memory"], "the peaks are measured, whoever looked"


def test_a_kept_promise_needs_no_reason_but_what_is_telling_is_said():
    sparse = dataclasses.replace(CONV, stored="float32", zeros=0.95)
    pruned = only(
        Predicted(1.0, 1.0, "bundle"),
        bytes=Bytes(100_000, 9_000),
        versus_baseline=LatencyRatio(1.0, 0.99, 1.01, "equivalent"),
        anatomy=dataclasses.replace(LOOKED, kinds=[sparse]),
    )
    assert [why for _, why in pruned.gaps] == ["no sparse kernel: 3 Conv read dense float32 weights that are 95 % zeros"]


def test_the_sentences_are_in_every_form_of_the_report():
    report = report_of(reference(), cell(predicted=MADE, anatomy=LOOKED))
    for text in ("\n".join(sentences(report)), markdown.render(report), page.render(report)):
        assert "dequantized before use: 3 Conv compute in float32" in text
    assert "## Promised and measured" in markdown.render(report)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_report_from_before_still_reads_and_renders(path):
    report = load(path)
    assert all(record.anatomy is None for record in report.records) or "Layer by layer" in page.render(report)
    assert all(promise.subject in markdown.render(report) for promise in promises(report))
    assert "Promised and measured" in page.render(report)
