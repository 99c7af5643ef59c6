"""Transformer encoder that classifies a text, as BERT does (Devlin et al., 2019), trained from scratch and small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn

from models._classifier import Classifier
from models._transformer import HIDDEN, refuse_uneven
from pipeline.core import Domain, Train

PADDING = 0
"""The token that fills a text up; it neither attends, nor is attended to, nor counts in the mean."""


@final
@dataclass(frozen=True)
class TransformerEncoder(Classifier):
    """Token and learned position embeddings, pre-norm layers (Xiong et al., 2020), the mean over real tokens, a linear head."""

    layers: Annotated[int, Ge(1)] = 1
    heads: Annotated[int, Ge(1)] = 4
    width: Annotated[int, Gt(0)] = 64
    """Numbers that stand for a token, divided among the heads."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.3

    presets: ClassVar = {
        "quick": Train(epochs=3, batch=32, samples=2048, learning_rate=3e-3),
        "full": Train(epochs=10, batch=64, learning_rate=2e-3, weight_decay=0.05, patience=4),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Tokens int64 [N, L] -> logits [N, classes]."""
        refuse_uneven("transformer_encoder", self.width, self.heads)
        (spec,) = domain.inputs.values()
        block = nn.TransformerEncoderLayer(self.width, self.heads, 4 * self.width, self.dropout, "gelu", norm_first=True)
        encoder = nn.TransformerEncoder(block, self.layers, nn.LayerNorm(self.width), enable_nested_tensor=False)
        return TextClassifier(len(domain.vocabulary), spec.shape[1], self.width, encoder, self.dropout, domain.classes)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Logits of the batch, whose columns that hold nothing but padding are left out: half of the time is in them."""
        tokens = batch["tokens"]
        longest = int((tokens != PADDING).any(0).sum())
        return {"logits": module(tokens[:, :longest])}


class TextClassifier(nn.Module):
    """Embeddings, an encoder, the mean and a head."""

    def __init__(self, vocabulary: int, length: int, width: int, encoder: nn.Module, dropout: float, classes: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.tokens.weight, std=0.1)  # torch's 1 would be learned by heart before it is unlearned
        self.positions = nn.Parameter(torch.zeros(length, width))
        self.dropout = nn.Dropout(dropout)
        self.encoder = encoder
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens int64 [N, L] -> logits [N, classes]."""
        real = (tokens != PADDING).to(self.positions.dtype)
        embedded = self.dropout(self.tokens(tokens) + self.positions[: tokens.shape[1]])
        # The sequence comes first, because batch first takes torch's fused path in evaluation, into which neither exporters
        # nor the counter of multiply-accumulates see.
        states = self.encoder(embedded.transpose(0, 1), src_key_padding_mask=(1 - real) * HIDDEN).transpose(0, 1)
        mean = (states * real[..., None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1)
        logits: torch.Tensor = self.head(self.dropout(mean))
        return logits
