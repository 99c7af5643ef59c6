"""The table of what was shown to work says what the reports say, cell by cell."""

from __future__ import annotations

import json
from dataclasses import replace

from rich.console import Console

from reports.coverage import as_json, coverage, table


def text(found) -> str:
    console = Console(width=120, record=True)
    with console.capture() as captured:
        console.print(table(found))
    return captured.get()


def test_a_row_for_each_architecture_and_technique_a_column_for_each_format(make_cell, make_reference, make_report):
    report = make_report(
        make_reference(family="lenet5"),
        make_cell(family="lenet5", steps=[{"technique": "quantize_static"}]),
        make_cell(
            family="lenet5",
            runtime="openvino",
            steps=[{"technique": "quantize_static"}],
            status="unsupported",
            reason="no int8 kernel",
            quality=None,
        ),
    )
    found = coverage([("mine.json", report)], ["lenet5", "mlp"])
    assert [(row.family, row.techniques, sorted(row.formats)) for row in found.rows] == [
        ("lenet5", "float32", ["tflite"]),
        ("lenet5", "quantize_static", ["openvino", "tflite"]),
    ]
    assert found.missing == ["mlp"]
    cell = found.rows[1].formats["openvino"]
    assert (cell.status, cell.reason, cell.report) == ("unsupported", "no int8 kernel", "mine.json")
    shown = text(found)
    assert "98.1 % ± 1.5" in shown and "[1]" in shown and "1 no int8 kernel" in shown and "No report tells of: mlp" in shown
    assert json.loads(json.dumps(as_json(found)))["rows"][1]["formats"]["tflite"]["quality"] == "98.0 % ± 1.5"


def test_a_later_report_replaces_an_earlier_one_cell_by_cell(make_cell, make_reference, make_report):
    old = make_report(make_reference(family="mlp"), make_reference(family="mlp", runtime="openvino"))
    new = make_report(make_reference(family="mlp", status="failed", reason="no file", quality=None))
    (row,) = coverage([("old", old), ("new", new)], ["mlp"]).rows
    assert {name: (cell.status, cell.report) for name, cell in row.formats.items()} == {
        "tflite": ("failed", "new"),
        "openvino": ("ok", "old"),
    }


def test_of_several_runtimes_of_a_format_one_that_works_shows_that_it_works(make_reference, make_report):
    gpu = {"family": "mlp", "target": "gpu", "format": "torch"}
    absent = make_reference(**gpu, runtime="torch_aoti_fp32", status="failed", reason="out of memory", quality=None)
    works, lossy = (make_reference(**gpu, runtime=f"torch_eager_{precision}") for precision in ("fp32", "int8"))
    lossy = replace(lossy, quality=replace(lossy.quality, value=0.5))
    for records in ((absent, works, lossy), (works, lossy, absent)):
        (row,) = (found := coverage([("mine", make_report(*records))], ["mlp"])).rows
        assert (row.formats["torch"].status, row.target) == ("ok", "gpu")
        assert row.formats["torch"].quality.startswith("98.1 %")
        assert "torch" in text(found).partition("mlp")[0], "torch elsewhere than on the host is a column"
    (row,) = coverage([("old", make_report(works)), ("new", make_report(absent))], ["mlp"]).rows
    assert row.formats["torch"].status == "failed", "a newer report counts, whatever it says"


def test_of_several_variants_of_the_same_techniques_the_first_is_shown(make_cell, make_report):
    usual = make_cell(family="mlp")
    harder = replace(usual, variant="harder", quality=replace(usual.quality, value=0.5))
    (row,) = coverage([("mine", make_report(usual, harder))], ["mlp"]).rows
    assert row.formats["tflite"].quality.startswith(f"{100 * usual.quality.value:.1f}")


def test_reports_of_before_families_were_named_count_by_their_model(make_reference, make_report):
    assert [row.family for row in coverage([("old", make_report(make_reference()))], []).rows] == ["lenet5"]


def test_a_target_is_a_row_of_its_own_and_says_when_it_was_emulated(make_reference, make_report):
    report = make_report(make_reference(family="mlp", target="rpi", provenance="emulated"), make_reference(family="mlp"))
    found = coverage([("mine", report)], [])
    assert [row.target for row in found.rows] == ["cpu", "rpi, emulated"]
    assert "float32 on rpi, emulated" in text(found)
