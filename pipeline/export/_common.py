"""What the exporters share besides the graph: where a file goes, what it carries, what it is calibrated with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pipeline.core import Arrays, Graph, Json, Precision
from pipeline.errors import UserError
from targets.runtimes._adapter import PLAIN


def provenance_json(provenance: Json) -> str:
    """The one JSON text that a file carries: sorted and compact, so that equal provenance is equal bytes."""
    return json.dumps(provenance, sort_keys=True, separators=(",", ":"))


def target_file(path: Path, suffix: str) -> Path:
    """`path` with a suffix appended (a dot in the name is part of the name), its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + suffix)


def calibration_samples(graph: Graph, precision: Precision, calibration: list[Arrays]) -> list[Arrays]:
    """The samples that the precision asks for, each holding exactly the graph's inputs in their declared types."""
    if not calibration:
        raise UserError(f"int8 with {precision.activations} activations needs calibration samples and got none")
    return [_sample(graph, arrays) for arrays in calibration[: precision.calibration_samples]]


def _sample(graph: Graph, arrays: Arrays) -> Arrays:
    missing = sorted(graph.inputs.keys() - arrays.keys())
    if missing:
        raise UserError(f"a calibration sample lacks the graph's inputs {missing} (it has {sorted(arrays)})")
    sample = {name: np.ascontiguousarray(arrays[name], spec.dtype) for name, spec in graph.inputs.items()}
    for name, spec in graph.inputs.items():
        if sample[name].shape != spec.shape:
            raise UserError(f"calibration input {name!r} has shape {list(sample[name].shape)}, declared {list(spec.shape)}")
    return sample


def adapter_file(path: Path, adapter: Arrays, provenance: Json) -> list[Path]:
    """Writes an adapter as `path`.adapter.safetensors, with the provenance among its metadata; nothing where there is none."""
    from safetensors.numpy import save

    if not adapter:
        return []
    file = target_file(path, PLAIN)
    file.write_bytes(save(adapter, metadata={"edgepress": provenance_json(provenance)}))
    return [file]
