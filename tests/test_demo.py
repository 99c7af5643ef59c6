"""The demo recipe, as `make` runs it: every cell there, every file proven, nothing done twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.recipe import read
from pipeline.registry import ROOT

pytestmark = pytest.mark.xdist_group("demo")  # one worker, one run
RECIPE = ROOT / "pipeline" / "recipes" / "digits.toml"
VARIANTS = {"reference", "pruned", "distilled", "int8", "chain"}


@pytest.fixture(scope="module")
def demo(cli) -> dict:
    """The report of a run; its steps stay in the shared store."""
    done = cli("run", RECIPE, "--json", timeout=1500)
    assert done.returncode == 0, done.stderr
    report: dict = json.loads(done.stdout)
    return report


def test_three_models_five_variants_three_formats_all_ok_all_proven(demo: dict) -> None:
    cells = {(r["model"], r["variant"], r["format"]): r for r in demo["records"]}
    wanted = {(m, v, f) for m in ("mlp", "lenet5", "gru_classifier") for v in VARIANTS for f in ("onnx", "tflite", "openvino")}
    assert wanted <= set(cells)
    assert [place for place, record in cells.items() if record["status"] != "ok" or not record["parity"]["ok"]] == []


def test_every_figure_has_its_doubt(demo: dict) -> None:
    for record in demo["records"]:
        quality, latency = record["quality"], record["latency_ms"]
        assert quality["low"] < quality["value"] < quality["high"]
        assert quality["n"] == 360
        assert latency["samples"] >= 20
        assert (latency["p99"] is None) == (latency["samples"] < 1000)
        assert latency["threads"] == 1
        assert 0 < record["bytes"]["bundle"] <= record["bytes"]["file"] < record["bytes"]["peak_memory"]
        if record["variant"] != "reference":
            ratio = record["versus_baseline"]
            assert ratio["low"] <= ratio["ratio"] <= ratio["high"]
            assert quality["versus_reference"]["low"] <= quality["versus_reference"]["delta"]
            assert record["predicted"]["file_ratio"] <= 1


def test_compression_makes_smaller_files_and_keeps_most_of_the_accuracy(demo: dict) -> None:
    cells = {(r["model"], r["variant"], r["format"]): r for r in demo["records"]}
    for (model, variant, format_), record in cells.items():
        assert record["quality"]["value"] > 0.94, (model, variant, format_)
        if variant != "reference":
            assert record["bytes"]["file"] < 0.95 * cells[model, "reference", format_]["bytes"]["file"], (model, variant, format_)


def test_the_yardstick_is_torch_itself(demo: dict) -> None:
    torch = [record for record in demo["records"] if record["format"] == "torch"]
    assert {record["variant"] for record in torch} == {"reference"}
    for record in torch:
        same = [r for r in demo["records"] if r["model"] == record["model"] and r["variant"] == "reference"]
        assert {r["quality"]["value"] for r in same} == {record["quality"]["value"]}


def test_the_run_leaves_a_report_a_page_and_its_samples(demo: dict, shared_home: Path) -> None:
    folder = shared_home / "runs" / demo["run"]["id"]
    assert {"report.json", "report.md", "index.html", "samples.json"} <= {path.name for path in folder.iterdir()}
    assert (shared_home / "runs" / "latest" / "report.json").exists()
    assert json.loads((folder / "report.json").read_text()) == demo


def test_nothing_is_left_to_do_but_measuring(demo: dict, cli) -> None:
    plan = json.loads(cli("run", RECIPE, "--dry-run", "--json").stdout)
    assert [step["label"] for step in plan["steps"] if not step["cached"] and step["kind"] != "evaluate"] == []


def test_a_report_does_not_differ_from_itself(demo: dict, cli, shared_home: Path) -> None:
    folder = shared_home / "runs" / demo["run"]["id"]
    done = cli("compare", folder, folder, "--fail-on", "quality drop > 0.1 points", "--fail-on", "latency ratio > 1.01")
    assert done.returncode == 0, done.stdout
    assert "48 of 48 cells unchanged" in done.stdout


@pytest.mark.parametrize("recipe", sorted((ROOT / "pipeline" / "recipes").glob("*.toml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("preset", ["quick", "full"])
def test_every_ready_recipe_is_right(recipe: Path, preset: str) -> None:
    assert read(recipe, preset).variants
