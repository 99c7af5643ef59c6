"""What a real run finds in its files, and the command that shows it."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.fixture
def records(finished_run: Any) -> dict[tuple[str, str], Any]:
    _, done = finished_run
    return {(cell["variant"], cell["runtime"]): cell for cell in json.loads(done.stdout)["records"]}


def test_a_run_looks_into_its_files_after_it_timed_them(records: dict[tuple[str, str], Any]) -> None:
    for variant, stored in (("reference", "float32"), ("pruned", "float32"), ("int8", "int8")):
        found = records[variant, "onnxruntime"]["anatomy"]
        weights = [layer for layer in found["layers"] if layer["weights"]]
        assert {layer["stored"] for layer in weights} == {stored} == {layer["computed"] for layer in weights}
        assert found["file"] == records[variant, "onnxruntime"]["bytes"]["file"]
        assert sum(kind["time"] or 0 for kind in found["kinds"]) == pytest.approx(1)
        assert min(found["call_ms"], found["smallest_ms"], found["read_ms"]) > 0  # which is larger a busy machine can turn round
        assert all(layer["sensitivity"] is not None for layer in weights), "each of the model's weights was found in the file"


def test_the_command_shows_every_layer_of_a_run_and_the_reports_of_a_report(finished: Any) -> None:
    run = finished.home / "runs" / "latest"
    done = finished("layers", run, "mlp", "int8")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert "mlp int8 in onnxruntime" in done.stdout and "Gemm" in done.stdout and "the graph's description" in done.stdout
    alone = finished.home / "alone.json"
    alone.write_text((run / "report.json").read_text())
    assert "Gemm" in finished("layers", alone, "mlp", "int8").stdout


def test_what_has_no_layers_says_so_in_one_line(finished: Any) -> None:
    report = json.loads((finished.home / "runs" / "latest" / "report.json").read_text())
    older = {**report, "records": [{k: v for k, v in each.items() if k != "anatomy"} for each in report["records"]]}
    (finished.home / "older.json").write_text(json.dumps(older))
    done = finished("layers", finished.home / "older.json", "mlp", "int8")
    assert done.returncode == 2 and "no layers of mlp int8: nobody looked into its onnx file" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_models_sensitivities_are_made_once_for_all_its_files(finished: Any) -> None:
    before = {label: made for label, made in finished.created().items() if "sensitivity" in label}
    assert len(before) == 2, "the reference and the pruned one; int8 has the reference's weights"
    again = finished("run", "tiny.toml", "--target", "few_samples")
    assert again.returncode == 0, again.stderr
    assert {label: made for label, made in finished.created().items() if "sensitivity" in label} == before
