"""The command that shows a compressed model's layers: of a run all of them, of a report alone the largest."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from pipeline.errors import UserError
from reports import layers
from reports.document import load
from reports.record import Layer, Record

LAYERS = "layers.json"
"""What pipeline/steps/anatomy.py writes into a run's evidence."""


def show(run: Path, model: str, variant: str, runtime: str | None) -> None:
    """Prints a table a runtime. UserError where nobody looked into the files."""
    records = layers.chosen(load(run), model, variant, runtime)
    looked = [record for record in records if record.anatomy]
    if not looked:
        why = "; ".join(dict.fromkeys(r.reason or f"nobody looked into its {r.format} file" for r in records))
        raise UserError(f"{run}: no layers of {model} {variant}{f' in {runtime}' if runtime else ''}: {why}")
    console = Console()
    for record in looked:
        console.print(layers.table(record, _every(run, record)))
    console.print(
        "time: by the runtime's own profiler; sensitivity: the share of the outputs' squares that is lost on validation "
        "samples when the layer's weights alone are rounded to 4 bits",
        style="dim",
    )


def _every(run: Path, record: Record) -> list[Layer]:
    """All layers where the run's folder has them; otherwise the report's, which are the largest."""
    folder = run if run.is_dir() else run.parent
    path = folder / "evidence" / "layers" / record.model / record.variant / record.runtime / LAYERS
    if path.is_file():
        return [Layer(**each) for each in json.loads(path.read_text())]
    assert record.anatomy is not None  # only such are asked for
    return record.anatomy.layers
