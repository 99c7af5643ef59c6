"""Gated recurrent unit (Cho et al., 2014) as a language model of characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from models._recurrent import RecurrentLanguageModel
from pipeline.core import Train


@final
@dataclass(frozen=True)
class GRU(RecurrentLanguageModel):
    """GRU layers: one gate mixes the old state with the new one, another hides the old one from the candidate."""

    states: ClassVar = ("hidden",)
    presets: ClassVar = {
        "quick": Train(epochs=8, batch=16, samples=512, learning_rate=5e-3),
        "full": Train(epochs=12, batch=64, learning_rate=4e-3),
    }

    def recurrent(self, inputs: int, hidden: int) -> nn.RNNBase:
        """Torch's GRU layers."""
        return nn.GRU(inputs, hidden, self.layers, batch_first=True, dropout=self.dropout if self.layers > 1 else 0.0)
