"""What a power meter says stands beside our figures, in every form of the report, and nowhere without one."""

import json

from rich.console import Console

from reports import markdown, page
from reports.document import from_json, to_json
from reports.record import Energy
from reports.table import terminal

ENERGY = Energy(0.518, 0.501, 0.533, 0.611, "PMIC (the board's rails)")


def forms(report):
    with (console := Console(width=200)).capture() as shown:
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
