"""What every classifier shares: one graph from its inputs to logits, cross-entropy, judged by accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from models.tasks.classification import Classification
from pipeline.core import Domain, Family, Graph

if TYPE_CHECKING:
    import torch


class Classifier(Family):
    """Abstract: a family only says how its module is built, from the domain's inputs to logits [N, classes]."""

    def forward(self, module: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Logits of the batch: all but its labels are inputs, in their order."""
        return {"logits": module(*(tensor for name, tensor in batch.items() if name != "label"))}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy in nats."""
        from torch.nn import functional

        return functional.cross_entropy(outputs["logits"], batch["label"])

    def graphs(self, module: torch.nn.Module, domain: Domain) -> dict[str, Graph]:
        """The classifier itself is deployed."""
        return {"classifier": Graph(module, domain.inputs, ("logits",))}

    def task(self, domain: Domain) -> Classification:
        """Top-1 accuracy."""
        return Classification(graph="classifier")
