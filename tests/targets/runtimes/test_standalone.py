"""No runtime at all: C files compiled here, once, and refused in a line where they are not what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core import Graph, TensorSpec
from pipeline.export.c import C
from targets.runtimes.standalone import Standalone
from tests.conftest import Cli
from tests.pipeline.export.conftest import model_of


@pytest.fixture
def c_file(tmp_path: Path) -> Path:
    """y = x * weights of 0, 1, ... + 0.5."""
    layer = nn.Linear(4, 3)
    layer.weight.data = torch.arange(12.0).view(3, 4)
    layer.bias.data.fill_(0.5)
    graph = Graph(layer.eval(), {"x": TensorSpec((1, 4))}, ("y",))
    return C().export(model_of(graph), graph, tmp_path / "tiny", [], {})[0]


X = np.array([[1, 2, 3, 4]], np.float32)


def test_it_computes_whatever_the_array_s_memory_is_like(c_file: Path) -> None:
    predict = Standalone().load([c_file], threads=4)
    assert predict.batch == 1
    (found,) = (first := predict({"x": X})).values()
    np.testing.assert_array_equal(found, [[20.5, 60.5, 100.5]])
    strided = np.stack([X, -X], axis=2)[:, :, 0]
    assert not strided.flags.c_contiguous
    np.testing.assert_array_equal(predict({"x": strided})["y"], found)
    predict({"x": -X})
    np.testing.assert_array_equal(first["y"], found, "what was answered stays")


def test_a_file_is_compiled_once_and_two_predictors_of_it_do_not_mind_each_other(
    c_file: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("EDGEPRESS_HOME", str(tmp_path / "home"))
    first, second = (Standalone().load([c_file], threads=1) for _ in range(2))
    expected = first({"x": X})["y"]
    del first
    np.testing.assert_array_equal(second({"x": X})["y"], expected)
    assert [path.name for path in (tmp_path / "home").rglob("*.so")] == ["tiny.so"]
    c_file.write_text(c_file.read_text().replace("0.5", "1.5"))
    np.testing.assert_array_equal(Standalone().load([c_file], threads=1)({"x": X})["y"], expected + 1)
    assert len([*(tmp_path / "home").rglob("*.so")]) == 2


@pytest.mark.parametrize(
    "inputs",
    [{"x": X[:, :3]}, {"x": X.astype(np.float64)}, {"z": X}, {"x": X, "z": X}, {"x": np.concatenate([X, X])}, {}],
)
def test_inputs_that_do_not_fit_are_refused_before_they_are_read(c_file: Path, inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"^tiny\.c: input"):
        Standalone().load([c_file], threads=1)(inputs)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('["x", 1, 4]', '["x", 1, 5]'), "is no C file of Edgepress"),
        (lambda text: text.replace('["y", 1, 3]', '["y", 1, 2]'), "is no C file of Edgepress"),
        (lambda text: text.replace('["y", 1, 3]', '["y", -1, -3]'), "is no C file of Edgepress"),
        (lambda text: text.replace('["y", 1, 3]', '["y", "1", 3]'), "is no C file of Edgepress"),
        (lambda text: text.replace('"name": "tiny"', '"name": 7'), "is no C file of Edgepress"),
        (lambda text: text.replace("c/1", "c/2", 1), "is no C file of Edgepress"),
        (lambda text: text.partition("\n")[2], "is no C file of Edgepress"),
        (lambda text: "", "is no C file of Edgepress"),
        (lambda text: text[:-20], r"tiny\.c cannot be compiled by \S+: .*error"),
        (lambda text: text.replace("tiny_run(const", "other(const"), "undefined symbol: tiny_run"),
    ],
)
def test_a_damaged_file_is_refused_in_a_line(c_file: Path, change: Callable[[str], str], said: str) -> None:
    c_file.write_text(change(c_file.read_text()))
    with pytest.raises(ValueError, match=rf"^tiny\.c: .*{said}") as caught:
        Standalone().load([c_file], threads=1)
    assert "\n" not in str(caught.value)


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "apt-get install g++" in str(Standalone().missing())


RECIPE = """
data = "digits"
preset = "quick"
formats = ["c"]
models = [{ model = "mlp", hidden = [24, 16], train = { epochs = 2 } }]

[[variants]]
name = "bits"
steps = [{ technique = "binarize", epochs = 1 }]

[[variants]]
name = "int8"
steps = [{ technique = "quantize_static" }]
"""


def test_a_run_measures_it_like_any_other_runtime(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bare.toml").write_text(RECIPE)
    planned = cli("run", tmp_path / "bare.toml", "--target", "cpu", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.count("measure in standalone: will run") == 3
    done = cli("run", tmp_path / "bare.toml", "--target", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    found = {(each["model"], each["variant"]): each for each in report["records"] if each["format"] == "c"}
    for name in ("reference", "bits"):
        record = found["mlp", name]
        assert (record["runtime"], record["status"], record["parity"]["ok"]) == ("standalone", "ok", True), record["reason"]
        assert record["latency_ms"]["p50"] > 0 and record["quality"]["n"] == 360
    assert found["mlp", "bits"]["bytes"]["file"] < found["mlp", "reference"]["bytes"]["file"]
    assert "real layers are float32" in found["mlp", "int8"]["reason"]
    assert found["mlp", "int8"]["status"] == "unsupported"
    assert any(name == "g++" and "(" in version for name, version in report["run"]["versions"].items())
