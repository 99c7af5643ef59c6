"""An emulated board has no times: its reports show instructions, and say that they are no time."""

from rich.console import Console

from reports import markdown, page
from reports.record import Instructions
from reports.table import terminal
from reports.verdict import judgements


def test_what_an_emulated_board_was_counted_for_is_shown_instead_of_a_time(make_cell, make_reference, make_report):
    counted = {"target": "rpi", "provenance": "emulated", "latency_ms": None, "versus_baseline": None}
    reference = make_reference(**counted, instructions=Instructions(120_000, 119_000, 121_000, 9))
    report = make_report(reference, make_cell(**counted, instructions=Instructions(36_000, 35_900, 36_200, 9)))
    (judged,) = judgements(report)
    assert "0.30x instructions (emulated)" in judged.finding
    assert "time" not in judged.finding
    assert "| 36.0 k instr. (emulated) | 0.30x instructions |" in markdown.render(report)
    assert "36.0 k instr." in page.render(report)
    with (console := Console(width=140)).capture() as shown:
        console.print(terminal(report))
    assert "0.30x instr." in shown.get()
