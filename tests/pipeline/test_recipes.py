"""Every model of every ready recipe goes through the whole flow: trained, made int8, exported to three formats, judged."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from pipeline import preview
from pipeline.execute import execute
from pipeline.places import store_root
from pipeline.plan import make
from pipeline.progress import RunWatcher
from pipeline.recipe import RECIPES, read
from pipeline.store import Store
from targets.cpu import Cpu
from tests.pairs import Pair, pairs, toml

RECIPE = """
data = {data}
preset = "quick"
models = [{model}]

[[variants]]
name = "int8"
steps = [{{ technique = "quantize_static", calibration_samples = 16 }}]
"""


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("preset", ["quick", "full"])
def test_a_ready_recipe_can_be_read(path: Path, preset: str) -> None:
    assert read(path, preset).models


FIRST = list({pair.family.name: pair for pair in reversed(pairs())}.values())
"""Each architecture once, on the data of the first recipe that has it."""


@pytest.mark.parametrize("pair", FIRST, ids=str)
def test_float_and_int8_in_three_formats_each_proven(pair: Pair, synthetic_data: Path, tmp_path: Path) -> None:
    model = {"model": pair.family.name, **pair.family.options, "train": {"epochs": 1, "samples": 48, "batch": 8}}
    data = {"data": pair.data.name, **pair.data.options}
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(data=toml(data), model=toml(model)))
    target, store = Cpu(), Store(store_root())
    plan = make(read(path), "cpu", synthetic_data, target.runtimes())
    cached = preview.inspect(plan, store, mend=True).cached
    with RunWatcher(Console(file=io.StringIO()), [], {}) as watcher:
        outcomes = execute(plan.steps, cached, store, tmp_path, 1, watcher)
    for cell in plan.cells:
        made, judged = outcomes[cell.artifact], outcomes[cell.evaluation]
        where = f"{cell.variant} in {cell.format}: {judged.reason}"
        if cell.variant == "int8" and judged.status == "unsupported":
            assert judged.reason, where
            continue
        assert judged.status == "ok", where
        assert made.facts["parity"]["ok"], where
        assert math.isfinite(judged.facts["value"]) and judged.facts["low"] <= judged.facts["value"] <= judged.facts["high"], (
            where
        )
    assert {cell.format for cell in plan.cells} == {"onnx", "tflite", "openvino", "torch"}
