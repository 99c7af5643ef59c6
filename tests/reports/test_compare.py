import dataclasses

import pytest
from rich.console import Console

from pipeline.errors import UserError
from reports.compare import Rule, compare, differences, setting, table, uncovered, violations
from reports.record import Bytes, Latency, LatencyRatio, Quality

GATE = [Rule.parse("quality drop > 0.5 points"), Rule.parse("bytes ratio > 1.1"), Rule.parse("latency ratio > 1.2")]


@pytest.fixture
def against(make_cell, make_report):
    """The changes from a good cell to the same cell with these fields."""

    def build(before=None, **after):
        return compare(make_report(make_cell(**(before or {}))), make_report(make_cell(**after)))

    return build


def accuracy(value, half=0.015):
    return Quality("accuracy", value, value - half, value + half, 360, True)


def printed(changes):
    console = Console(width=120)
    with console.capture() as captured:
        console.print(table(changes))
    return " ".join(captured.get().split())


def test_the_same_report_shows_no_change_and_passes_any_gate(demo):
    changes = compare(demo, demo)
    assert not any(differences(change) for change in changes)
    assert violations(changes, GATE) == []
    assert f"{len(demo.records)} of {len(demo.records)} cells unchanged" in printed(changes)


def test_absolute_latency_is_never_compared(against):
    changes = against(latency_ms=Latency(1.2, 0.4, 137.0, 150.0, None, 200, 1, 1))
    assert differences(changes[0]) == [] and violations(changes, GATE) == []
    assert "milliseconds of two runs are not compared" in printed(changes)


def test_a_quality_change_is_reported_only_beyond_both_intervals(against):
    assert differences(against({"quality": accuracy(0.98)}, quality=accuracy(0.97))[0]) == []
    ((subject, text),) = differences(against({"quality": accuracy(0.98)}, quality=accuracy(0.90))[0])
    assert (subject, text) == ("quality", "accuracy -8.00 points [-10.12, -5.88]")


def test_a_lower_loss_is_an_improvement(against):
    before = Quality("nll", 21.8, 21.7, 21.9, 360, False)
    changes = against({"quality": before}, quality=Quality("nll", 20.0, 19.9, 20.1, 360, False))
    assert differences(changes[0])[0][1].startswith("nll +1.8 ")
    assert violations(changes, [Rule.parse("quality drop > 1 %")]) == []


def test_any_change_of_bytes_is_reported(against):
    assert differences(against(bytes=Bytes(26_001, 24_000))[0]) == [("bytes", "26.0 KB, now 26.0 KB (+1 bytes)")]


def test_appeared_and_disappeared_cells(make_cell, make_report):
    gone, new = make_cell(variant="pruned"), make_cell(variant="distilled")
    changes = compare(make_report(make_cell(), gone), make_report(make_cell(), new))
    assert [differences(c) for c in changes] == [[], [("cell", "disappeared, ok")], [("cell", "appeared, ok")]]
    assert violations(changes, []) == ["lenet5 pruned (digits; tflite in litert on cpu): ok, now gone"]


@pytest.mark.parametrize("status", ["failed", "unsupported"])
def test_what_was_ok_and_is_not_always_violates(against, status):
    changes = against(status=status, reason="parity: 0.03")
    assert violations(changes, []) == [f"lenet5 int8 (digits; tflite in litert on cpu): ok, now {status}: parity: 0.03"]
    assert violations(against({"status": "failed"}, status="failed"), GATE) == []
    assert violations(against({"status": "failed"}), GATE) == []


def test_the_quality_gate_is_the_point_estimate(against):
    assert violations(against({"quality": accuracy(0.98)}, quality=accuracy(0.976)), GATE) == []
    assert violations(against({"quality": accuracy(0.98)}, quality=accuracy(0.975)), GATE) == [], "exactly on the line passes"
    (line,) = violations(against({"quality": accuracy(0.98)}, quality=accuracy(0.974)), GATE)
    assert line.endswith("accuracy -0.60 points [-2.72, +1.52] (rule: quality drop > 0.5 points)")


def test_the_latency_gate_needs_the_whole_interval_beyond_the_line(against):
    before = {"versus_baseline": LatencyRatio(0.80, 0.79, 0.81, "faster")}
    wide, sure = LatencyRatio(1.04, 0.84, 1.28, "inconclusive"), LatencyRatio(1.04, 1.02, 1.06, "equivalent")
    assert violations(against(before, versus_baseline=wide), GATE) == []
    (line,) = violations(against(before, versus_baseline=sure), GATE)
    assert "latency ratio 1.30x [1.27, 1.33] (rule: latency ratio > 1.2)" in line
    assert violations(against(before, versus_baseline=sure), [Rule.parse("latency growth > 20 %")])


def test_the_latency_gate_weighs_all_calls_of_a_result(make_cell, make_reference, make_report):
    def report(calls):
        cell, reference = make_cell(versus_baseline=LatencyRatio(1.0, 0.99, 1.01, "equivalent")), make_reference()
        few, many = (dataclasses.replace(each.quality, calls=count) for each, count in ((cell, calls), (reference, 50)))
        return make_report(dataclasses.replace(reference, quality=many), dataclasses.replace(cell, quality=few))

    changes = compare(report(4), report(8))
    assert violations(changes, GATE) == [f"{changes[1].cell}: latency ratio 2.00x [1.97, 2.03] (rule: latency ratio > 1.2)"]
    assert violations(compare(report(8), report(4)), GATE) == []
    assert not any(map(differences, compare(report(4), report(4))))


def test_the_bytes_gate_is_exact(against):
    assert violations(against(bytes=Bytes(28_600, None)), GATE) == [], "exactly 1.1x passes"
    (line,) = violations(against(bytes=Bytes(28_700, None)), GATE)
    assert line.endswith("bytes ratio 1.104x (rule: bytes ratio > 1.1)")
    assert violations(against(bytes=Bytes(28_700, 24_000)), [Rule.parse("bytes growth > 10 %")])


@pytest.mark.parametrize(
    ("gap", "says"),
    [
        ({"quality": None}, "quality measured in A, not in B"),
        ({"bytes": Bytes()}, "bytes measured in A, not in B"),
        ({"versus_baseline": None}, "latency measured in A, not in B"),
        ({"latency_ms": Latency(1.2, 0.4, 0.137, 0.15, None, 200, 4, 1)}, "latency not comparable"),
    ],
)
def test_a_gate_does_not_pass_because_a_figure_went_missing(against, gap, says):
    assert any(says in line for line in violations(against(**gap), GATE))
    assert violations(against(gap), GATE) == [] or "not comparable" in says


def test_points_do_not_judge_a_loss_and_the_gate_says_so(against):
    def loss(value):
        return Quality("nll", value, value - 0.1, value + 0.1, 360, False)

    changes = against({"quality": loss(20.0)}, quality=loss(30.0))
    assert violations(changes, GATE) == []
    assert "add a rule such as 'quality drop > 2 %'" in uncovered(changes, GATE)[0]
    percent = [*GATE, Rule.parse("quality drop > 2 %")]
    assert len(violations(changes, percent)) == 1 and uncovered(changes, percent) == []


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("quality drop > 0.5", "quality drop > 0.5 points"),
        ("quality drop 0.5 points", "quality drop > 0.5 points"),
        ("byte ratio > 1.1", "bytes ratio > 1.1"),
        ("latency ratio > 20 %", "latency ratio > 1.2"),
        ("latency ratio > -1", "latency ratio > 1.2"),
    ],
)
def test_a_malformed_rule_is_one_line_with_the_forms_and_the_nearest(text, near):
    with pytest.raises(UserError) as caught:
        Rule.parse(text)
    line = str(caught.value)
    assert f"did you mean {near!r}?" in line and "'bytes growth > 10 %'" in line and "\n" not in line


@pytest.mark.parametrize("text", ["", ">", "nonsense", "quality drop > 1e3 points"])
def test_nonsense_is_refused_too(text):
    with pytest.raises(UserError, match="no such rule"):
        Rule.parse(text)


def test_a_rule_reads_back_as_it_was_written():
    for text in ("quality drop > 0.5 points", "quality drop > 2 %", "bytes ratio > 1.1", "bundle growth > 10 %"):
        assert str(Rule.parse(text)) == text
    assert Rule.parse(" bytes ratio>1.1 ") == Rule.parse("bytes ratio > 1.1")


def test_two_records_of_one_cell_are_refused(make_cell, make_report):
    with pytest.raises(UserError, match=r"two records of lenet5 int8"):
        compare(make_report(make_cell(), make_cell()), make_report())


def test_the_setting_names_what_differs_between_the_runs(demo):
    host = dataclasses.replace(demo.run.host, cpu="Cortex-A76")
    run = dataclasses.replace(demo.run, host=host, versions={**demo.run.versions, "torch": "2.10.0"})
    lines = setting(demo, dataclasses.replace(demo, run=run))
    assert lines == ["host: AMD EPYC 7B13 (2 of 64 cores), now Cortex-A76", "torch: 2.9.1, now 2.10.0"]
    assert setting(demo, demo) == []
