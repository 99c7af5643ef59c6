"""Tiny models, the runtimes that read the exported files, and each file exported once for the whole folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core import Arrays, Domain, Facts, Graph, Model, Precision, Predict, Spec, TensorSpec
from pipeline.export._trace import run
from pipeline.registry import find
from targets.runtimes._openvino import library

FORMATS = ("onnx", "openvino", "tflite")
ARCHITECTURES = ("mlp", "cnn", "gru")
PROVENANCE = {"b": ["step", 1], "a": {"é": 0.5}}
INPUTS = {"image": TensorSpec((1, 1, 8, 8))}


class Gru(nn.Module):
    """Reads the image row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.head = nn.GRU(8, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        rows, _ = self.recurrent(image.squeeze(1))
        return self.head(rows[:, -1])


def build(architecture: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if architecture == "gru":
            return Gru().eval()
        if architecture == "mlp":
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).eval()
        features = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*features, nn.Conv2d(16, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)).eval()


def images(count: int, seed: int) -> list[Arrays]:
    """Pictures with one bright row each, so that the classes of an untrained network differ."""
    random = np.random.default_rng(seed)
    pictures = random.random((count, 1, 1, 8, 8), dtype=np.float32) * 0.2
    pictures[np.arange(count), 0, 0, random.integers(8, size=count)] += 2.0
    return [{"image": picture} for picture in pictures]


def model_of(graph: Graph, precision: Precision | None = None) -> Model:
    return Model(Spec("model", "tiny"), Domain("tiny", graph.inputs, 10), graph.module, Facts(1, 1), precision)


def onnx_predictor(files: list[Path]) -> Predict:
    import onnxruntime

    session = onnxruntime.InferenceSession(files[0], providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda arrays: dict(zip(names, session.run(None, arrays), strict=True))


def openvino_predictor(files: list[Path]) -> Predict:
    # Without the hint a CPU with bf16 instructions rounds float32 models to bf16.
    compiled = library().Core().compile_model(files[0], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda arrays: {output.get_any_name(): value.copy() for output, value in compiled(arrays).items()}


def tflite_predictor(files: list[Path]) -> Predict:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(files[0]), num_threads=1).get_signature_runner()
    return lambda arrays: {name: value.copy() for name, value in runner(**arrays).items()}


PREDICTORS: dict[str, Callable[[list[Path]], Predict]] = {
    "onnx": onnx_predictor,
    "openvino": openvino_predictor,
    "tflite": tflite_predictor,
}


@dataclass(frozen=True)
class Exported:
    """One exported file with the graph that it came from and what its runtime makes of it."""

    graph: Graph
    files: list[Path]
    predict: Predict

    @property
    def bytes(self) -> bytes:
        return b"".join(file.read_bytes() for file in self.files)

    def reference(self, arrays: Arrays) -> Arrays:
        return run(self.graph, arrays)

    def agreement(self) -> float:
        """How often the file and the module choose the same class."""
        samples = images(60, seed=2)
        return float(np.mean([self.predict(x)["logits"].argmax() == self.reference(x)["logits"].argmax() for x in samples]))


Export = Callable[..., Exported]


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """export(format, architecture, int8=False, again=False): converts at most once a session unless asked again."""

    @cache
    def once(form: str, architecture: str, int8: bool = False, again: bool = False) -> Exported:
        graph = Graph(build(architecture), INPUTS, ("logits",))
        model = model_of(graph, Precision("static", calibration_samples=32) if int8 else None)
        path = tmp_path_factory.mktemp(form) / f"{architecture}.v1"
        files = find("format", form)().export(model, graph, path, images(40, seed=1) if int8 else [], PROVENANCE)
        return Exported(graph, files, PREDICTORS[form](files))

    return once


def same_provenance(text: str) -> bool:
    return bool(json.loads(text) == PROVENANCE)
