"""Torch itself: the yardstick that every other format is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

from pipeline.core import Arrays, Graph, Json, Model, Unsupported


@final
@dataclass(frozen=True)
class Torch:
    """The model as model.json and weights.safetensors in a folder, run by torch eager. Float32 only."""

    suffixes: ClassVar[tuple[str, ...]] = (".json", ".safetensors")
    tolerance: ClassVar[float] = 1e-6
    """Reading a model back changes no number; this much is left for another order of the same sums."""

    def export(self, model: Model, graph: Graph, path: Path, calibration: list[Arrays], provenance: Json) -> list[Path]:
        """Writes the folder `path`. The provenance is the model's own history, which model.json holds."""
        from pipeline.model_file import save

        if model.precision is not None:
            raise Unsupported("integers are stored by the exporters of onnx, tflite and openvino; torch eager runs float32")
        return save(model, path)
