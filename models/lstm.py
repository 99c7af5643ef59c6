"""Long short-term memory (Hochreiter & Schmidhuber, 1997) as a language model of characters (Graves, 2013)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from annotated_types import Ge, Gt, Lt
from torch import nn

from models._recurrent import RecurrentLanguageModel
from pipeline.core import Train


@final
@dataclass(frozen=True)
class LSTM(RecurrentLanguageModel):
    """LSTM layers with forget gates (Gers et al., 2000): besides the hidden state a cell that gates write and erase."""

    hidden: Annotated[int, Gt(0)] = 512
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5

    states: ClassVar = ("hidden", "cell")
    presets: ClassVar = {
        "quick": Train(epochs=4, batch=16, samples=512, learning_rate=5e-3),
        "full": Train(epochs=12, batch=64, learning_rate=3e-3),
    }

    def recurrent(self, inputs: int, hidden: int) -> nn.RNNBase:
        """Torch's LSTM layers."""
        return nn.LSTM(inputs, hidden, self.layers, batch_first=True, dropout=self.dropout if self.layers > 1 else 0.0)
