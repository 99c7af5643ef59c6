"""What other instruments say stands beside our figures, in every form of the report, and nowhere without them."""

import json

from rich.console import Console

from reports import markdown, page
from reports.document import from_json, to_json
from reports.record import BenchmarkModel, Energy
from reports.table import terminal

ENERGY = Energy(0.518, 0.501, 0.533, 0.611, "PMIC (the board's rails)")


def forms(report):
    with (console := Console(width=400)).capture() as shown:
        console.print(terminal(report))
    return page.render(report), markdown.render(report), shown.get()


def test_energy_is_shown_with_its_meter_and_with_what_is_in_it(make_cell, make_reference, make_report):
    report = make_report(make_reference(), make_cell(energy_mj=ENERGY))
    for text in forms(report):
        assert "What other instruments say" in text
        assert "0.518 mJ an inference (0.501 mJ to 0.533 mJ, 0.611 mJ when sustained)" in text
        assert "idling included" in text
    assert from_json(json.loads(json.dumps(to_json(report)))) == report


def test_a_machine_without_a_meter_says_nothing_of_energy(make_cell, make_reference, make_report):
    report = make_report(make_reference(), make_cell())
    assert to_json(report)["records"][1]["energy_mj"] is None
    for text in forms(report):
        assert "What other instruments say" not in text
        assert "an inference" not in text


def test_what_litert_measures_itself_stands_beside_our_time_and_never_instead(make_cell, make_reference, make_report):
    tool = BenchmarkModel(3.3, 1.9, 0.1, 0.09, 0.2, 0.01, 1061, 8_750_000)
    broken = BenchmarkModel(reason="benchmark_model ended with exit code 1 (it said last: <b>no</b>)")
    report = make_report(make_reference(benchmark_model=broken), make_cell(benchmark_model=tool))
    for text in forms(report):
        assert "benchmark_model 0.100 ms on average of 1061 calls (at least 0.0900 ms, at most 0.200 ms" in text
        assert "ours takes 1.37x that; init 3.30 ms; first 1.90 ms; memory grown by 8.8 MB" in text
        assert "benchmark_model ended with exit code 1" in text
        assert "0.137 ms" in text
    assert "<b>no</b>" not in page.render(report)
    assert from_json(json.loads(json.dumps(to_json(report)))) == report
