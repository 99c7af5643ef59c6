"""An exported file and the torch module are judged by the same code on the same samples."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline.core import Train


def test_every_runtime_gives_the_same_accuracy(step, trained) -> None:
    found = {}
    for format_, runtime in (("onnx", "onnxruntime"), ("openvino", "openvino"), ("torch", "torch")):
        made = step("export", trained, format=format_, runtime=runtime)
        judged = step("evaluate", made, runtime=runtime)
        found[runtime] = judged.facts["value"]
        assert judged.facts["n"] == 360
        assert judged.facts["low"] < judged.facts["value"] < judged.facts["high"]
        assert judged.facts["versus_reference"] is None
    assert len(set(found.values())) == 1


def test_a_variant_is_paired_with_the_reference(step, trained) -> None:
    made = step("export", trained, format="onnx", runtime="onnxruntime")
    reference = step("evaluate", made, runtime="onnxruntime")
    judged = step("evaluate", made, reference, runtime="onnxruntime")
    versus = judged.facts["versus_reference"]
    assert versus["delta"] == 0
    assert versus["low"] < 0 < versus["high"]
    with np.load(judged.folder / "evidence.npz", allow_pickle=False) as evidence:
        assert evidence["correct"].dtype == bool


def test_states_that_pruning_made_smaller_are_judged_as_they_are(step, synthetic_data: Path) -> None:
    """The plan knows the whole model only: how large its states are is said by what was exported."""
    whole = {"kind": "model", "name": "gru", "options": {"hidden": 16}}
    common = {
        "data": {"kind": "data", "name": "tinyshakespeare", "options": {}, "root": str(synthetic_data)},
        "train": asdict(Train(epochs=1, batch=4, samples=8)),
    }
    options = {"bytes": 0.8, "rounds": 1, "epochs": 1}
    trained = step("train", model=whole, **common)
    technique = {"kind": "technique", "name": "prune_structured", "options": options}
    pruned = step("compress", trained, trained, technique=technique, **common)
    made = step("export", pruned, format="onnx", runtime="onnxruntime", **common)
    judged = step("evaluate", made, runtime="onnxruntime", **common)
    assert made.facts["family"]["options"]["hidden"] < 16
    assert judged.facts["value"] > 0
