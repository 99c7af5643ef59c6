"""Gated recurrent unit (Cho et al., 2014) that reads an image row by row, as a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Gt
from torch import nn

from models._classifier import Classifier
from pipeline.core import Domain, Train


@final
@dataclass(frozen=True)
class GRUClassifier(Classifier):
    """One GRU layer over the rows; the last hidden state is classified."""

    hidden: Annotated[int, Gt(0)] = 64
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the hidden units."""

    presets: ClassVar = {
        "quick": Train(epochs=40, batch=64, samples=2048, learning_rate=6e-3),
        "full": Train(epochs=24, learning_rate=4e-3),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Image [N, C, H, W] -> logits [N, classes]; a row is a vector of C * W values."""
        _, depth, _, width = domain.inputs["image"].shape
        return RowGRU(depth * width, max(1, round(self.hidden * self.width)), domain.classes)


class RowGRU(nn.Module):
    """A GRU over an image's rows and a linear head on its last state."""

    def __init__(self, row: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(row, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Image [N, C, H, W] -> logits [N, classes]."""
        rows = image.transpose(1, 2).flatten(2)  # [N, H, C * W]
        states, _ = self.rnn(rows)
        logits: torch.Tensor = self.head(states[:, -1])
        return logits
