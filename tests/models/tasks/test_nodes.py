"""Only the wanted nodes count, one row each."""

from __future__ import annotations

import numpy as np

from models.tasks.nodes import NodeClassification


def test_only_wanted_nodes_are_judged() -> None:
    logits = np.array([[[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]]], dtype=np.float32)
    samples = {
        "features": np.zeros((1, 3, 4), np.float32),
        "adjacency": np.zeros((1, 3, 3), np.float32),
        "label": np.array([[0, 0, 1]]),
        "wanted": np.array([[True, True, False]]),
    }
    asked = []

    def predict(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        asked.append(set(inputs))
        return {"logits": logits}

    task = NodeClassification("classifier")
    evidence = task.collect({"classifier": predict}, samples)
    assert evidence["correct"].tolist() == [True, False]
    assert task.value(evidence) == 0.5
    assert asked == [{"features", "adjacency"}]  # neither the answers nor who is asked
