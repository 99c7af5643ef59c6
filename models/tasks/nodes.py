"""Classification of a graph's nodes: top-1 accuracy over those that are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.tasks.classification import Classification
from pipeline.core import Arrays, Predict


@dataclass(frozen=True)
class NodeClassification(Classification):
    """As `Classification`, with a node for a sample.

    Its intervals treat nodes as independent. Neighbours are not quite, so they say how sure the accuracy is on this graph,
    and not on another one.
    """

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Graphs {input: [N, ...], "label": [N, n], "wanted": bool [N, n]} -> {"correct": bool}, a row a wanted node."""
        inputs = {name: array for name, array in samples.items() if name not in ("label", "wanted")}
        logits = predictors[self.graph](inputs)["logits"]
        return {"correct": (logits.argmax(axis=-1) == samples["label"])[samples["wanted"]]}
