"""The command line as a person, a script and continuous integration use it."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.registry import ROOT, names

RUN = ("run", "tiny.toml", "--target", "few_samples")

OWN_DATA = '''
from dataclasses import dataclass
from typing import ClassVar, final
import numpy as np
from pipeline.core import Dataset, Domain, TensorSpec

@final
@dataclass(frozen=True)
class Points:
    """Points left and right of a line: two classes."""
    licence: ClassVar[str] = "mine"

    def files(self, root):
        return [root / "points.npy"]

    def load(self, root):
        points = np.load(root / "points.npy").astype("float32")
        arrays = {"image": points.reshape(-1, 1, 2, 2), "label": (points.sum(1) > 0).astype("int64")}
        part = lambda start, end: {name: array[start:end] for name, array in arrays.items()}
        domain = Domain("points", {"image": TensorSpec((1, 1, 2, 2))}, classes=2)
        return Dataset(domain, {"train": part(0, 300), "validation": part(300, 400), "test": part(400, 600)}, "0" * 64)
'''
OWN_MODEL = """
from dataclasses import dataclass, replace
from typing import ClassVar, final
import torch
from models._classifier import Classifier
from pipeline.core import TensorSpec, Train

@final
@dataclass(frozen=True)
class Own(Classifier):
    units: int = 8
    presets: ClassVar = {"quick": Train(epochs=2, batch=16, augment=False)}

    def build(self, domain):
        first, last = torch.nn.Linear(4, self.units), torch.nn.Linear(self.units, 2)
        return torch.nn.Sequential(torch.nn.Flatten(), first, torch.nn.ReLU(), last)
"""
WRONG_GRAPH = """
    def graphs(self, module, domain):
        graph = super().graphs(module, domain)["classifier"]
        return {"classifier": replace(graph, inputs={"image": TensorSpec((1, 1, 3, 3))})}
"""


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# Starting


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["store", "gc", "--help"]])
def test_help_loads_nothing_heavy_and_so_answers_at_once(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "click" in loaded
    heavy = {"torch", "numpy", "pydantic", "onnx", "onnxruntime", "openvino", "rich", "sklearn", "scipy", "jinja2", "altair"}
    assert loaded & heavy == set()
    assert done.stdout.startswith("Usage: edgepress")


@pytest.mark.skipif(not (ROOT / ".venv/bin/python").exists(), reason="the launcher uses the .venv of `make setup`")
def test_the_launcher_works_from_any_folder_and_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "ep").symlink_to(ROOT / "edgepress")
    for name in ("random.py", "models/__init__.py", "pipeline/__init__.py"):  # what a person's own folder may well hold
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('a file of the folder it was called from was imported')")
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "EDGEPRESS_HOME")}
    environment["EDGEPRESS_HOME"] = "relative"
    done = subprocess.run(["./ep", "store", "ls"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 entries" in done.stdout and "relative/store" in done.stdout.replace("\n", "")
    assert not (tmp_path / "relative").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["run"], "Missing argument 'RECIPE'"),
        (["run", "a.toml", "--dryrun"], "Did you mean '--dry-run'?"),
        (["run", "a.toml", "--preset", "quik"], "'quik' is not one of 'quick', 'full'"),
        (["store", "gc", "--older-than", "-1"], "-1.0 is not in the range x>=0"),
        (["compare", "no.json", "no.json"], "no.json"),
        (["data", "fetch", "mnits"], "did you mean 'mnist'?"),
    ],
)
def test_a_mistyped_command_is_one_line_too(arguments: list[str], words: str, refused: Callable[..., str]) -> None:
    assert words in refused(*arguments)


@pytest.mark.parametrize("command", [["run", "tiny.toml"], ["store", "gc"]])
def test_a_home_that_cannot_be_one_is_one_line(checkout: Any, tiny_recipe: Path, command: list[str]) -> None:
    checkout.home.write_text("a file, not a folder")
    done = checkout(*command)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr
    assert command[0] == "store" or re.fullmatch(r"edgepress: .*home.*: Not a directory\n", done.stderr)


def test_doctor_tells_a_program_what_is_usable_and_why_the_rest_is_not(cli: Any, tmp_path: Path) -> None:
    done = cli("doctor", "--json", env={"EDGEPRESS_DATA": str(tmp_path)})
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    for kind in ("runtime", "target"):
        assert sorted(found[f"{kind}s"]) == names(kind)
    assert found["targets"]["cpu"] is None and found["runtimes"]["onnxruntime"] is None
    assert found["data"]["sets"]["digits"] is None and "data fetch mnist" in found["data"]["sets"]["mnist"]
    assert list(tmp_path.iterdir()) == []


# Running


def test_a_dry_run_says_what_would_run_and_writes_nothing(checkout: Any, tiny_recipe: Path) -> None:
    done = checkout(*RUN, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "") and not checkout.home.exists()
    lines = [line.strip("│├└─ ") for line in done.stdout.splitlines()]
    assert lines == [
        "tiny (quick) on few_samples: 8 steps to run",
        "mlp",
        "reference",
        "train: will run",
        "onnx: will run",
        "sensitivity of its weights: will run",
        "measure in onnxruntime: will run",
        "pruned",
        "prune_structured: will run",
        "onnx: will run",
        "sensitivity of its weights: will run",
        "measure in onnxruntime: will run",
        "int8",
        "quantize_static: will run",
        "onnx: will run",
        "measure in onnxruntime: will run",
    ]


def test_a_second_run_has_nothing_left_to_do(finished: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in files(finished.home)}
    done = finished(*RUN, "--dry-run")
    assert "0 steps to run" in done.stdout and done.stdout.count(": cached") == 8
    plan = json.loads(finished(*RUN, "--dry-run", "--json").stdout)
    assert all(step["cached"] for step in plan["steps"] if step["kind"] != "evaluate")
    assert {path: path.stat().st_mtime_ns for path in files(finished.home)} == before


def test_an_edited_recipe_reruns_only_what_it_changes_and_says_for_how_long(finished: Any) -> None:
    recipe = finished.home.parent / "tiny.toml"
    recipe.write_text(recipe.read_text().replace("macs = 0.7", "macs = 0.6"))
    done = finished(*RUN, "--dry-run")
    assert re.search(r"3 steps to run, about \d+ s of work known", done.stdout)
    assert re.search(r"prune_structured: will run \(about \d+ s\)", done.stdout) and done.stdout.count(": cached") == 5


def test_json_on_stdout_is_the_report_alone_and_equals_the_file(finished_run: Any) -> None:
    checkout, done = finished_run
    report = json.loads(done.stdout)
    assert report["schema"] == "edgepress.report/1"
    assert report == json.loads((checkout.home / "runs/latest/report.json").read_text())
    assert {cell["variant"]: cell["status"] for cell in report["records"]} == dict.fromkeys(["reference", "pruned", "int8"], "ok")
    assert done.stderr.count("[") >= 8 and "[8/8]" in done.stderr, "progress goes to stderr"


def test_aa_gives_every_cell_a_verdict_against_itself(finished_run: Any) -> None:
    _, done = finished_run
    found = [cell["versus_self"] for cell in json.loads(done.stdout)["records"]]
    assert len(found) == 3 and all(each["low"] <= each["ratio"] <= each["high"] and each["verdict"] for each in found)
    assert "each candidate against itself: " in done.stderr


def test_without_a_terminal_each_finished_step_is_a_line(finished_run: Any) -> None:
    lines = re.findall(r"^\[(\d)/8\] (.*) \(\d+\.\d s\)$", finished_run[1].stderr, re.MULTILINE)
    assert [number for number, _ in lines] == list("12345678")
    assert lines[0][1] == "digits quick mlp: train" and len({label for _, label in lines}) == 8


def test_a_run_writes_its_page_and_points_latest_at_it(finished_run: Any, finished: Any) -> None:
    checkout, _ = finished_run
    latest = checkout.home / "runs/latest"
    assert latest.is_symlink() and {path.name for path in latest.iterdir()} >= {"report.json", "report.md", "index.html"}
    recipe = finished.home.parent / "tiny.toml"
    recipe.write_text(recipe.read_text().split("[[variants]]")[0])
    done = finished(*RUN, "--publish", "kept")
    assert done.returncode == 0 and "3 of 3 steps were there already" in done.stdout
    assert len(list((finished.home / "runs").iterdir())) == 3, "two runs and `latest`"
    assert str((finished.home / "runs/latest").resolve()) in done.stdout
    published = json.loads((finished.home.parent / "kept.json").read_text())
    assert published == json.loads((finished.home / "runs/latest/report.json").read_text())
    assert (finished.home.parent / "kept.md").read_text().startswith("#")
    again = finished(*RUN, "--publish", "kept", "--resume")
    assert again.returncode == 0 and "kept.json is of this very plan" in again.stdout
    assert len(list((finished.home / "runs").iterdir())) == 3, "nothing was run"
    recipe.write_text(recipe.read_text().replace("epochs = 2", "epochs = 1"))
    assert "this very plan" not in finished(*RUN, "--publish", "kept", "--resume").stdout


def test_coverage_is_computed_from_ones_own_runs(finished: Any) -> None:
    done = finished("coverage", "--json")
    assert done.returncode == 0, done.stderr
    rows = {(row["family"], row["techniques"]): row["formats"] for row in json.loads(done.stdout)["rows"]}
    assert set(rows) == {("mlp", "float32"), ("mlp", "prune_structured"), ("mlp", "quantize_static")}
    assert rows["mlp", "quantize_static"]["onnx"]["parity"] is True
    shown = finished("coverage")
    assert "quantize_static" in shown.stdout and "No report tells of:" in shown.stdout


def test_compare_gates_on_what_got_worse(finished_run: Any, tmp_path: Path, cli: Any) -> None:
    report = json.loads(finished_run[1].stdout)
    for cell in report["records"]:
        cell["bytes"]["file"] *= 2
    worse, good = tmp_path / "worse.json", finished_run[0].home / "runs/latest/report.json"
    worse.write_text(json.dumps(report))
    rule = ("--fail-on", "bytes ratio > 1.5")
    assert cli("compare", good, good, *rule).returncode == 0
    assert cli("compare", good, worse).returncode == 0, "no rule, no gate"
    gated = cli("compare", good, worse, *rule)
    assert gated.returncode == 1 and "Traceback" not in gated.stderr
    misread = cli("compare", good, worse, "--fail-on", "bytes rtio > 1.5")
    assert misread.returncode == 2 and misread.stderr.count("\n") == 1


# A person's own files


@pytest.fixture
def own(checkout: Any) -> Callable[..., Any]:
    """Runs a recipe on a model and a data set that are not ours."""
    folder = checkout.home.parent
    rng = np.random.default_rng(0)
    (folder / "data").mkdir()
    np.save(folder / "data" / "points.npy", rng.normal(size=(600, 4)))

    def run(model: str, data: str = OWN_DATA) -> subprocess.CompletedProcess[str]:
        (folder / "nets").mkdir(exist_ok=True)
        (folder / "nets" / "own.py").write_text(model)
        (folder / "points.py").write_text(data)
        (folder / "r.toml").write_text('data = "points.py"\nmodel = "nets/own.py"\npreset = "quick"\nformats = ["onnx"]\n')
        return checkout("run", "r.toml", "--target", "few_samples", "--json", EDGEPRESS_DATA="data")

    return run


def test_a_persons_own_model_and_data_go_all_the_way(own: Callable[..., Any]) -> None:
    done = own(OWN_MODEL)
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["records"]
    assert (cell["model"], cell["dataset"], cell["status"]) == ("own", "points", "ok")
    assert cell["quality"]["n"] == 200 and cell["quality"]["value"] > 0.6, "it learns"


def test_a_model_whose_graph_does_not_take_its_declared_inputs_is_one_line(own: Callable[..., Any], checkout: Any) -> None:
    done = own(OWN_MODEL + WRONG_GRAPH)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert "does not accept its declared inputs (image: float32 [1, 1, 3, 3])" in done.stderr
    assert checkout.created() == {} and not (checkout.home / "runs/latest").exists()


# Data that is not what it should be


def idx(array: np.ndarray[Any, Any]) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("truncated", r"train-images-idx3-ubyte.gz: gzip stream ends early at \d+ bytes"),
        ("fewer labels", r"train-images\S+ holds 64 images, but \S+ holds 63 labels"),
        ("a page of a web site", r"train-images\S+: starts with bytes '3c 68', expected gzip"),
        ("missing", r"train-images\S+ is missing; get it with `./edgepress data fetch mnist`, or set EDGEPRESS_DATA"),
    ],
)
def test_a_data_file_that_is_broken_is_one_line_that_names_it(checkout: Any, tmp_path: Path, damage: str, words: str) -> None:
    folder = tmp_path / "data/mnist/files"
    folder.mkdir(parents=True)
    images, labels = np.zeros((64, 28, 28)), np.arange(64) % 10
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    victim = folder / "train-images-idx3-ubyte.gz"
    if damage == "truncated":
        victim.write_bytes(victim.read_bytes()[:-20])
    elif damage == "fewer labels":
        (folder / "train-labels-idx1-ubyte.gz").write_bytes(idx(labels[:-1]))
    elif damage == "missing":
        victim.unlink()
    else:
        victim.write_text("<html>404</html>")
    (tmp_path / "r.toml").write_text('data = { data = "mnist", validation = 10 }\nmodel = "mlp"\npreset = "quick"\n')
    done = checkout("run", "r.toml", "--target", "few_samples", EDGEPRESS_DATA="data")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert re.search(words, done.stderr), done.stderr
    assert checkout.created() == {}


# The store


def test_ls_gc_and_check(finished: Any) -> None:
    listed = finished("store", "ls").stdout
    assert "8 entries" in listed and listed.index("mlp: train") < listed.index("mlp/int8: onnx")
    assert "8 entries, 0 wrong" in finished("store", "check").stdout
    assert "removed 0 entries" in finished("store", "gc").stdout and len(finished.created()) == 8
    assert "removed 8 entries" in finished("store", "gc", "--older-than", "0").stdout and finished.created() == {}
    assert "8 steps to run" in finished(*RUN, "--dry-run").stdout


def test_a_target_that_is_not_usable_here_says_why(own_checkout: Any, tiny_recipe: Path) -> None:
    target = own_checkout.root / "targets/few_samples.py"
    target.write_text(target.read_text().replace("return None", 'return "no board on /dev/ttyUSB0"', 1))
    done = own_checkout(*RUN)
    assert (done.returncode, done.stderr) == (
        2,
        "edgepress: target few_samples is not usable here: no board on /dev/ttyUSB0\n",
    )
    assert not own_checkout.home.exists()
    shutil.rmtree(own_checkout.root)
