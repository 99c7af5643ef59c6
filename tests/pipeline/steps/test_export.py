"""No file leaves that does not do what the torch module does; what leaves tells where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from models.tasks.classification import Classification
from pipeline.coded_file import decode
from pipeline.core import ParityError, Unsupported
from pipeline.errors import UserError
from pipeline.export.onnx_ import Onnx
from pipeline.sizes import bundle_bytes, coded_path, file_bytes
from pipeline.steps import export

TWO_FACED = '''
"""A model that does something else when it is exported than when it is trained."""
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import nn

from models._classifier import Classifier
from pipeline.core import Train

class TwoFacedModule(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, image):
        logits = self.layer(image.flatten(1))
        return logits + 1 if torch.compiler.is_exporting() else logits

@final
@dataclass(frozen=True)
class TwoFaced(Classifier):
    presets: ClassVar = {"quick": Train(epochs=1), "full": Train(epochs=1)}

    def build(self, domain):
        return TwoFacedModule()
'''

UNTRUE = (
    TWO_FACED
    + """
    def graphs(self, module, domain):
        from pipeline.core import Graph, TensorSpec
        return {"classifier": Graph(module, {"image": TensorSpec((1, 1, 9, 9))}, ("logits",))}
"""
)


def own_model(tmp_path: Path, source: str) -> dict:
    path = tmp_path / "own.py"
    path.write_text(source)
    return {"kind": "model", "name": str(path), "options": {}}


@pytest.mark.parametrize(("format_", "runtime"), [("onnx", "onnxruntime"), ("openvino", "openvino"), ("torch", "torch")])
def test_a_float_file_gives_the_modules_outputs(step, trained, format_: str, runtime: str) -> None:
    made = step("export", trained, format=format_, runtime=runtime)
    assert made.facts["parity"]["ok"]
    assert made.facts["parity"]["max_abs_diff"] <= made.facts["parity"]["tolerance"] <= 1e-4
    assert all((made.folder / name).is_file() for name in made.facts["graphs"]["classifier"])


def test_a_file_that_does_something_else_is_no_artifact(step, tmp_path: Path) -> None:
    two_faced = step("train", model=own_model(tmp_path, TWO_FACED))
    with pytest.raises(ParityError, match=r"parity: outputs differ from torch by .*, more than 1e-04"):
        step("export", two_faced, format="onnx", runtime="onnxruntime")


def test_a_graph_that_does_not_take_its_declared_inputs_is_refused_before_any_training(step, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not accept its declared inputs \(image: float32 \[1, 1, 9, 9\]\)"):
        step("train", model=own_model(tmp_path, UNTRUE))


def test_a_quantized_file_is_judged_by_its_metric(step, trained, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"calibration_samples": 32, "per_channel": True}
    int8 = step("compress", trained, trained, technique={"kind": "technique", "name": "quantize_static", "options": options})
    made = step("export", int8, format="onnx", runtime="onnxruntime")
    assert made.facts["parity"]["ok"]
    assert abs(made.facts["parity"]["metric_drop"]) <= 0.1
    monkeypatch.setattr(export, "METRIC_TOLERANCE", -1.0)
    monkeypatch.setattr(Classification, "margin", -1.0)
    with pytest.raises(ParityError, match=r"loses .* of the metric on validation samples"):
        step("export", int8, format="onnx", runtime="onnxruntime")
    with pytest.raises(Unsupported, match="torch eager runs float32"):
        step("export", int8, format="torch", runtime="torch")


def test_a_binary_file_whose_signs_turn_is_judged_by_its_metric(step, trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum in another order may come to the other side of a threshold: no wrong file, and no reason to ship another model."""
    options = {"layers": ["*"], "epochs": 1}
    binary = step("compress", trained, trained, technique={"kind": "technique", "name": "binarize", "options": options})
    assert step("export", binary, format="onnx", runtime="onnxruntime").facts["parity"]["metric_drop"] is None
    monkeypatch.setattr(Onnx, "tolerance", -1.0)
    made = step("export", binary, format="onnx", runtime="onnxruntime")
    assert made.facts["parity"]["ok"] and made.facts["parity"]["metric_drop"] == 0
    with pytest.raises(ParityError, match="outputs differ"):
        step("export", trained, format="onnx", runtime="onnxruntime")


UNJUDGED = (
    TWO_FACED
    + """
    def graphs(self, module, domain):
        from pipeline.core import Graph
        return {**super().graphs(module, domain), "spare": Graph(nn.Identity(), domain.inputs, ("image",))}
"""
)


def test_a_graph_that_no_judge_runs_is_not_shipped(step, tmp_path: Path) -> None:
    made = step("train", model=own_model(tmp_path, UNJUDGED))
    with pytest.raises(UserError, match="never runs graph 'spare'"):
        step("export", made, format="torch", runtime="torch")


def test_the_file_tells_where_it_comes_from(step, trained) -> None:
    made = step("export", trained, format="onnx", runtime="onnxruntime")
    (name,) = made.facts["graphs"]["classifier"]
    told = json.loads({entry.key: entry.value for entry in onnx.load(made.folder / name).metadata_props}["edgepress"])
    assert told["model"] == "mlp"
    assert told["steps"][0]["step"] == "train"
    assert told["weights_sha256"] == trained.sha256["weights.safetensors"]
    assert len(told["training_data_sha256"]) == 64
    assert told["versions"]["torch"]


def test_a_real_sample_travels_with_the_file(step, trained) -> None:
    made = step("export", trained, format="onnx", runtime="onnxruntime")
    with np.load(made.folder / export.SAMPLE, allow_pickle=False) as sample:
        assert sample["image"].shape == (1, 1, 8, 8)
        assert sample["image"].std() > 0


def test_a_clustered_model_travels_coded_in_every_format_and_comes_back_to_the_byte(step, trained) -> None:
    zeroed = step("compress", trained, trained, technique=technique("prune_unstructured", sparsity=0.9, epochs=1))
    shared = step("compress", zeroed, trained, technique=technique("cluster", clusters=8, epochs=1))
    for name, runtime in (("onnx", "onnxruntime"), ("tflite", "litert"), ("openvino", "openvino"), ("torch", "torch")):
        made, sparse = (step("export", each, format=name, runtime=runtime) for each in (shared, zeroed))
        files, before = ([each.folder / file for file in each.facts["graphs"]["classifier"]] for each in (made, sparse))
        coded = {path: coded_path(path) for path in files if coded_path(path).exists()}
        assert coded, name
        assert all(decode(small.read_bytes()) == path.read_bytes() for path, small in coded.items())
        weights = sum(path.stat().st_size for path in coded)
        assert sum(small.stat().st_size for small in coded.values()) < 0.35 * weights, name  # of 10 KB, the graph is a good part
        assert bundle_bytes(files) < bundle_bytes(before) < file_bytes(before)
    plain = step("export", trained, format="onnx", runtime="onnxruntime")
    assert not coded_path(plain.folder / plain.facts["graphs"]["classifier"][0]).exists()


def test_a_coded_file_that_does_not_come_back_is_no_artifact(step, trained, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = step("compress", trained, trained, technique=technique("cluster", clusters=8, epochs=1))
    monkeypatch.setattr(export, "decode", lambda coded, limit: b"")
    with pytest.raises(ParityError, match="does not give it back"):
        step("export", shared, format="onnx", runtime="onnxruntime")


def technique(name: str, **options: object) -> dict:
    return {"kind": "technique", "name": name, "options": options}
