"""What recurrent language models share: they read a character, change their state, and say what comes next."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn
from torch.nn import functional

from models.tasks.language import Language, Recurrent
from pipeline.core import Domain, Family, Graph, TensorSpec


@dataclass(frozen=True)
class RecurrentLanguageModel(Family):
    """Abstract: a family says which of torch's recurrent layers it is, and how its states are called."""

    hidden: Annotated[int, Gt(0)] = 256
    """Units of a layer."""
    layers: Annotated[int, Ge(1)] = 1
    embedding: Annotated[int, Gt(0)] = 64
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Between the layers and before the output (Zaremba et al. 2014, "Recurrent Neural Network Regularization")."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the hidden units."""

    states: ClassVar[tuple[str, ...]]
    """Names of the layer's states, in torch's order."""

    @abstractmethod
    def recurrent(self, inputs: int, hidden: int) -> nn.RNNBase:
        """The recurrent layers, batch first."""

    def build(self, domain: Domain) -> nn.Module:
        """Tokens int64 [N, T] -> logits [N, T, classes]."""
        return CharacterModel(self.recurrent(self.embedding, self._units), domain.classes, self.dropout)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Logits [N, T, classes] of what follows each but the last token, from a state of zeros."""
        return {"logits": module(batch["tokens"][:, :-1])}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy in nats a character."""
        return functional.cross_entropy(outputs["logits"].flatten(0, 1), batch["tokens"][:, 1:].flatten())

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """One step: token [1], states [1, layers, hidden] -> logits [1, classes], new states."""
        model = cast(CharacterModel, module)
        states = {name: TensorSpec((1, self.layers, model.recurrent.hidden_size)) for name in self.states}
        outputs = ("logits", *(f"next_{name}" for name in self.states))
        return {"step": Graph(Step(model), {"token": TensorSpec((1,), "int64"), **states}, outputs)}

    def task(self, domain: Domain) -> Language:
        """Nats a character, all windows side by side through the step."""
        return Language(Recurrent(dict.fromkeys(self.states, (self.layers, self._units))), domain.vocabulary)

    @property
    def _units(self) -> int:
        return max(1, round(self.hidden * self.width))


class CharacterModel(nn.Module):
    """Embedding, recurrent layers, linear output."""

    def __init__(self, recurrent: nn.RNNBase, classes: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, recurrent.input_size)
        self.recurrent = recurrent
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(recurrent.hidden_size, classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [N, T] -> logits [N, T, classes]."""
        outputs, _ = self.recurrent(self.embedding(tokens))
        logits: torch.Tensor = self.head(self.dropout(outputs))
        return logits


class Step(nn.Module):
    """The same network, a token at a time: token [N], states [N, layers, hidden] -> logits [N, classes], new states."""

    def __init__(self, model: CharacterModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, token: torch.Tensor, *states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Torch's layers want their states as [layers, N, hidden], and an LSTM wants both in a tuple."""
        before = tuple(state.transpose(0, 1).contiguous() for state in states)
        outputs, after = self.model.recurrent(self.model.embedding(token[:, None]), before if len(before) > 1 else before[0])
        new = after if isinstance(after, tuple) else (after,)
        return self.model.head(outputs[:, 0]), *(state.transpose(0, 1) for state in new)
