"""An exported file and the torch module are judged by the same code on the same samples."""

from __future__ import annotations

import numpy as np


def test_every_runtime_gives_the_same_accuracy(step, trained) -> None:
    found = {}
    for format_, runtime in (("onnx", "onnxruntime"), ("openvino", "openvino"), ("torch", "torch")):
        made = step("export", trained, format=format_, runtime=runtime)
        judged = step("evaluate", made, runtime=runtime, model={"kind": "model", "name": "mlp", "options": {}})
        found[runtime] = judged.facts["value"]
        assert judged.facts["n"] == 360
        assert judged.facts["low"] < judged.facts["value"] < judged.facts["high"]
        assert judged.facts["versus_reference"] is None
    assert len(set(found.values())) == 1


def test_a_variant_is_paired_with_the_reference(step, trained) -> None:
    made = step("export", trained, format="onnx", runtime="onnxruntime")
    model = {"kind": "model", "name": "mlp", "options": {}}
    reference = step("evaluate", made, runtime="onnxruntime", model=model)
    judged = step("evaluate", made, reference, runtime="onnxruntime", model=model)
    versus = judged.facts["versus_reference"]
    assert versus["delta"] == 0
    assert versus["low"] < 0 < versus["high"]
    with np.load(judged.folder / "evidence.npz", allow_pickle=False) as evidence:
        assert evidence["correct"].dtype == bool
