"""The steps as a worker runs them, one after the other, in folders of the test's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.core import Train
from pipeline.places import data_root
from pipeline.steps import compress, evaluate, export, train
from pipeline.steps.common import Input, Tools

STEPS = {"train": train, "compress": compress, "export": export, "evaluate": evaluate}
Run = Callable[..., Input]


@pytest.fixture
def step(tmp_path: Path) -> Run:
    """Runs one step of a kind; what it made can be the input of the next."""
    count = iter(range(1000))

    def run(kind: str, *inputs: Input, **task: Any) -> Input:
        folder = tmp_path / f"{kind}-{next(count)}"
        folder.mkdir()
        whole = {
            "data": {"kind": "data", "name": "digits", "options": {"validation": 360}, "root": str(data_root())},
            "seed": 0,
            "device": "cpu",
            "threads": 1,
            "train": asdict(Train(epochs=3, batch=64)),
            **task,
        }
        scratch = folder / "scratch"
        scratch.mkdir()
        facts = STEPS[kind].run(whole, list(inputs), folder, Tools(scratch, lambda *_: None, 1))
        sha256 = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}
        return Input(folder, sha256, facts)

    return run


@pytest.fixture
def trained(step: Run) -> Input:
    return step("train", model={"kind": "model", "name": "mlp", "options": {"hidden": [32], "width": 1.0}})
