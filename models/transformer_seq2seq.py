"""Encoder-decoder transformer (Vaswani et al. 2017; T5-like, Raffel et al. 2020): reads one sequence, writes another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast, final

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn
from torch.nn import functional

from models._transformer import Block, Embedding, KeysValues, cached, causal, refuse_uneven
from models.data._subwords import PAD, START
from models.tasks.translation import Translation
from pipeline.core import Domain, Family, Graph, TensorSpec, Train

LABEL_SMOOTHING = 0.1
GROUPS = 4
"""Training batches are cut into so many groups of like lengths, each padded to its own longest row: half of the work of one."""


@final
@dataclass(frozen=True)
class TransformerSeq2Seq(Family):
    """Pre-norm encoder and decoder over one vocabulary, whose embedding is used three times: at both inputs and for the logits.

    Deployed as two graphs over one set of weights. "encoder" turns a source into the keys and values that the decoder's
    layers look at, once a sequence; "step" is the decoder on one symbol, with those and the cache of what it wrote before.
    """

    layers: Annotated[int, Gt(0)] = 3
    """Of the encoder, and of the decoder."""
    heads: Annotated[int, Gt(0)] = 4
    width: Annotated[int, Gt(0)] = 128
    """Of the residual stream; the feed-forward network between is four times as wide."""
    head_width: Annotated[int, Gt(0)] | None = None
    """Dimensions of a head; None: an equal part of the width, as it is before heads are pruned."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1

    presets: ClassVar = {
        "quick": Train(epochs=1, batch=32, samples=512, learning_rate=3e-3),
        "full": Train(epochs=10, batch=64, learning_rate=2e-3, weight_decay=0.1),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Source int64 [N, S] and target int64 [N, L] -> logits of every symbol of the target."""
        if self.head_width is None:
            refuse_uneven("transformer_seq2seq", self.width, self.heads)
        positions = max(domain.inputs["source"].shape[1], domain.targets["target"].shape[1])
        return Seq2Seq(domain.classes, positions, self.layers, self.heads, self._head_width, self.width, self.dropout)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Logits [symbols, V] of all symbols of the targets but padding, and which they are: "wanted" int64 [symbols]."""
        source, target = batch["source"], batch["target"]
        groups = ((source != PAD).sum(dim=1) + (target != PAD).sum(dim=1)).argsort(stable=True).chunk(GROUPS)
        logits, wanted = zip(*(module(trimmed(source[rows]), trimmed(target[rows])) for rows in groups), strict=True)
        return {"logits": torch.cat(logits), "wanted": torch.cat(wanted)}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy in nats a symbol, with label smoothing (Szegedy et al. 2016)."""
        return functional.cross_entropy(outputs["logits"], outputs["wanted"], label_smoothing=LABEL_SMOOTHING)

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The decoder's step, and the encoder."""
        model, source, length = cast(Seq2Seq, module), domain.inputs["source"], domain.targets["target"].shape[1]
        token = TensorSpec((1,), "int64")
        cache, cross = (
            TensorSpec((1, self.layers, self.heads, places, self._head_width)) for places in (length, source.shape[1])
        )
        step = {"token": token, "position": token, "keys": cache, "values": cache}
        step |= {"source": source, "cross_keys": cross, "cross_values": cross}
        return {
            "step": Graph(Step(model), step, ("logits", "key", "value")),
            "encoder": Graph(Encode(model), {"source": source}, ("cross_keys", "cross_values")),
        }

    def task(self, domain: Domain) -> Translation:
        """BLEU of what a beam search finds."""
        length = domain.targets["target"].shape[1]
        return Translation((self.layers, self.heads, length, self._head_width), domain.vocabulary)

    @property
    def _head_width(self) -> int:
        return self.head_width or self.width // self.heads


class Seq2Seq(nn.Module):
    """Encoder and decoder; each ends in a norm, and the embedding's transpose makes logits of the decoder's."""

    def __init__(
        self, symbols: int, positions: int, layers: int, heads: int, head_width: int, width: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = Embedding(symbols, positions, width, dropout)
        self.encoder = nn.ModuleList(Block(width, heads, head_width, 4 * width, dropout) for _ in range(layers))
        self.source_norm = nn.LayerNorm(width)
        self.decoder = nn.ModuleList(Block(width, heads, head_width, 4 * width, dropout, cross=True) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Source int64 [N, S], target int64 [N, L] -> logits [symbols, V] of the target but its padding, and these symbols."""
        memories, source_visible = self.encode(source), visible(source)
        before = functional.pad(target[:, :-1], (1, 0), value=START)
        x = self.embedding(before, torch.arange(before.shape[1], device=before.device))
        seen = causal(before.shape[1], before.device)
        for block, memory in zip(self.decoder, memories, strict=True):
            x, _ = block(x, seen, source=memory, source_visible=source_visible)
        there = target != PAD
        return self.logits(x[there]), target[there]

    def encode(self, source: torch.Tensor) -> list[KeysValues]:
        """The keys and values that each layer of the decoder finds in a source int64 [N, S]."""
        x = self.embedding(source, torch.arange(source.shape[1], device=source.device))
        for block in self.encoder:
            x, _ = block(x, visible(source))
        x = self.source_norm(x)
        return [cast(Block, block).cross.keys_values(x) for block in self.decoder]

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Of the residual stream [..., width]."""
        return functional.linear(self.norm(x), self.embedding.symbols.weight)


class Encode(nn.Module):
    """The encoder, as it is deployed."""

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Source int64 [N, S] -> keys and values [N, layers, heads, S, head_dim] for the decoder."""
        keys, values = (torch.stack(part, dim=1) for part in zip(*self.model.encode(source), strict=True))
        return keys, values


class Step(nn.Module):
    """The decoder on one symbol, the cache of those before it and an encoded source."""

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        token: torch.Tensor,
        position: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        source: torch.Tensor,
        cross_keys: torch.Tensor,
        cross_values: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Token and position int64 [N], cache [N, layers, heads, L, head_dim] twice, and what the encoder made of `source`.

        Returns logits [N, V] and the position's own key and value [N, layers, heads, head_dim]; what the cache holds at its
        place and later is not looked at, nor are the places of the source that are padding.
        """
        x = self.model.embedding(token[:, None], position[:, None])
        seen, source_visible, made = cached(position, keys.shape[3]), visible(source), []
        for layer, block in enumerate(self.model.decoder):
            past, memory = (keys[:, layer], values[:, layer]), (cross_keys[:, layer], cross_values[:, layer])
            x, own = block(x, seen, past, memory, source_visible)
            made.append(own)
        key, value = (torch.stack(part, dim=1)[:, :, :, 0] for part in zip(*made, strict=True))
        return self.model.logits(x)[:, 0], key, value


def visible(source: torch.Tensor) -> torch.Tensor:
    """What all may see of a source int64 [N, S]: all but padding, bool [N, 1, 1, S]."""
    return (source != PAD)[:, None, None]


def trimmed(tokens: torch.Tensor) -> torch.Tensor:
    """Tokens int64 [N, L] without the columns that hold nothing but padding."""
    return tokens[:, : int((tokens != PAD).any(dim=0).sum())]
