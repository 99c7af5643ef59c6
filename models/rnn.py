"""Simple recurrent network (Elman, 1990) as a language model of characters (Mikolov et al., 2010)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from models._recurrent import RecurrentLanguageModel
from pipeline.core import Train


@final
@dataclass(frozen=True)
class RNN(RecurrentLanguageModel):
    """Elman layers with tanh: the new state is `tanh(W x + U h + b)`."""

    states: ClassVar = ("hidden",)
    presets: ClassVar = {
        "quick": Train(epochs=8, batch=16, samples=512, learning_rate=5e-3),
        "full": Train(epochs=6, batch=64, learning_rate=4e-3),
    }

    def recurrent(self, inputs: int, hidden: int) -> nn.RNNBase:
        """Torch's Elman layers."""
        return nn.RNN(inputs, hidden, self.layers, batch_first=True, dropout=self.dropout if self.layers > 1 else 0.0)
