import dataclasses

import pytest

from reports.promise import sentences
from reports.record import Bytes, LatencyRatio, QualityDelta
from reports.verdict import baseline, judgements

FASTER = LatencyRatio(0.6, 0.58, 0.62, "faster")
SLOWER = LatencyRatio(1.37, 1.33, 1.41, "slower")
SAME = LatencyRatio(1.0, 0.99, 1.01, "equivalent")
OPEN = LatencyRatio(1.05, 0.9, 1.2, "inconclusive")
SMALL, EQUAL, LARGE = Bytes(26_000, 24_000), Bytes(99_000, 92_000), Bytes(120_000, 110_000)


@pytest.fixture
def outcome(make_cell, make_reference, make_report):
    def judge(latency, sizes, quality="equivalent"):
        cell = make_cell()
        delta = {"worse": -0.02, "better": 0.02, "equivalent": 0.0, "inconclusive": -0.001}[quality]
        paired = QualityDelta(delta, delta - 0.003, delta + 0.003, quality)
        cell = dataclasses.replace(cell, bytes=sizes, versus_baseline=latency)
        cell = dataclasses.replace(cell, quality=dataclasses.replace(cell.quality, versus_reference=paired))
        (judgement,) = judgements(make_report(make_reference(), cell))
        return judgement.outcome, judgement.finding.split(": ")[-1]

    return judge


def test_the_sentence_says_bytes_time_accuracy_and_what_it_pays_in(make_cell, make_reference, make_report):
    assert sentences(make_report(make_reference(), make_cell())) == [
        "lenet5 int8 in litert: 0.26x bytes, 1.37x slower [1.33, 1.41], accuracy equivalent: pays in bytes, not in time"
    ]


@pytest.mark.parametrize(
    ("latency", "sizes", "quality", "expected"),
    [
        (FASTER, SMALL, "equivalent", ("paid", "pays in bytes and time")),
        (SLOWER, SMALL, "equivalent", ("in part", "pays in bytes, not in time")),
        (FASTER, SMALL, "worse", ("in part", "pays in bytes and time, and costs quality")),
        (FASTER, SMALL, "inconclusive", ("in part", "pays in bytes and time, if the quality holds")),
        (SAME, EQUAL, "equivalent", ("did not pay", "did not pay")),
        (SLOWER, EQUAL, "equivalent", ("did not pay", "did not pay")),
        (SAME, LARGE, "equivalent", ("did not pay", "did not pay")),
        (SAME, EQUAL, "worse", ("did not pay", "did not pay")),
        (OPEN, EQUAL, "equivalent", ("did not pay", "no gain shown, did not pay")),
        (SAME, EQUAL, "better", ("paid", "pays in quality")),
    ],
)
def test_what_counts_as_paid(outcome, latency, sizes, quality, expected):
    assert outcome(latency, sizes, quality) == expected


def test_a_gain_that_shows_only_in_the_bundle_is_a_gain(outcome):
    assert outcome(SAME, Bytes(100_000, 30_000)) == ("paid", "pays in download")


def test_the_time_of_a_result_is_that_of_all_its_calls(make_cell, make_reference, make_report):
    def found(calls, latency):
        cell, reference = dataclasses.replace(make_cell(), bytes=EQUAL, versus_baseline=latency), make_reference()
        few, many = (dataclasses.replace(each.quality, calls=count) for each, count in ((cell, calls), (reference, 50)))
        report = make_report(dataclasses.replace(reference, quality=many), dataclasses.replace(cell, quality=few))
        (judgement,) = judgements(report)
        return judgement.finding

    assert found(4, SAME) == (
        "0.99x bytes, 0.080x calls for a result, time equivalent [0.99, 1.01] a call, accuracy equivalent: pays in time"
    )
    assert found(10, SLOWER).endswith("pays in time"), "dearer calls, but few of them"
    assert found(100, FASTER).endswith("did not pay"), "twice the calls at 0.6x the time"
    assert "calls" not in found(50, SAME)


def test_nothing_measured_is_not_called_a_failure_to_pay(outcome):
    assert outcome(None, Bytes()) == ("unknown", "nothing to judge it by")


def test_a_cell_without_result_gives_its_reason(make_cell, make_report):
    cell = make_cell(status="unsupported", reason="no int8 kernel for GRU")
    assert sentences(make_report(cell)) == ["lenet5 int8 in litert: unsupported: no int8 kernel for GRU"]


def test_the_baseline_is_the_reference_of_the_same_runtime_and_target(make_cell, make_reference):
    right = make_reference()
    others = [make_reference(runtime="onnxruntime"), make_reference(target="rpi"), make_reference(model="vae"), make_cell()]
    assert baseline(make_cell(), [*others, right]) is right
    assert baseline(make_cell(), others) is None


def test_an_estimated_latency_says_so(make_cell, make_reference, make_report):
    cell = make_cell(provenance="estimated")
    assert "slower [1.33, 1.41] (estimated)" in sentences(make_report(make_reference(), cell))[0]
