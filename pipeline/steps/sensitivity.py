"""How much a model minds each of its weights being rounded."""

from __future__ import annotations

from pathlib import Path

from pipeline import model_file
from pipeline.core import Json
from pipeline.sensitivity import sensitivity
from pipeline.steps.common import Input, Tools, dataset


def run(task: Json, inputs: list[Input], folder: Path, tools: Tools) -> Json:
    """The facts hold the sensitivities by parameter; nothing is written."""
    return {"sensitivity": sensitivity(model_file.load(inputs[0].folder), dataset(task))}
