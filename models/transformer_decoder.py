"""Transformer decoder (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): reads a text, writes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast, final

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn
from torch.nn import functional

from models._rotary import RotaryBlock, Rotation
from models._transformer import KeysValues, cached, causal, refuse_uneven
from models.tasks.language import Cached, Language
from pipeline.core import Domain, Family, Graph, TensorSpec, Train
from pipeline.errors import UserError


@final
@dataclass(frozen=True)
class TransformerDecoder(Family):
    """Pre-norm blocks under a causal mask, rotary positions, the symbols' embedding used again to predict them.

    Deployed as two graphs over one set of weights. "step" reads one symbol: the keys and values of those before it come in
    as inputs, so that its cost does not grow with them squared; only the new position's come out. "prefill" reads a prompt
    at once.
    """

    layers: Annotated[int, Gt(0)] = 4
    heads: Annotated[int, Gt(0)] = 4
    width: Annotated[int, Gt(0)] = 128
    """Of the residual stream; the feed-forward network between is four times as wide."""
    head_width: Annotated[int, Gt(0)] | None = None
    """Dimensions of a head; None: an equal part of the width, as it is before heads are pruned."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1

    presets: ClassVar = {
        "quick": Train(epochs=1, batch=16, samples=512, learning_rate=3e-3),
        "full": Train(epochs=12, batch=16, learning_rate=2e-3, weight_decay=0.1),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Tokens int64 [N, T] -> logits [N, T, V], T at most one less than the domain's windows."""
        if self.head_width is None:
            refuse_uneven("transformer_decoder", self.width, self.heads)
        if self._head_width % 2:
            found = f"width = {self.width} gives each of heads = {self.heads} {self._head_width} dimensions"
            if self.head_width:
                found = f"head_width = {self.head_width}"
            raise UserError(f"transformer_decoder: {found}; rotary positions turn pairs of them, so it must be an even number")
        return Decoder(domain.classes, _length(domain), self.layers, self.heads, self._head_width, self.width, self.dropout)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Logits [N, T, V] of the symbols after the first."""
        return {"logits": module(batch["tokens"][:, :-1])}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy in nats a symbol."""
        return functional.cross_entropy(outputs["logits"].flatten(0, 1), batch["tokens"][:, 1:].flatten())

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The step, and the prefill of prompts of up to half of a window."""
        decoder, length = cast(Decoder, module), _length(domain)
        cache = TensorSpec((1, self.layers, self.heads, length, self._head_width))
        token = TensorSpec((1,), "int64")
        step = {"token": token, "position": token, "keys": cache, "values": cache}
        prompt = {"tokens": TensorSpec((1, length // 2), "int64")}
        return {
            "step": Graph(Step(decoder), step, ("logits", "key", "value")),
            "prefill": Graph(Prefill(decoder), prompt, ("logits", "keys", "values")),
        }

    def task(self, domain: Domain) -> Language:
        """Nats a character."""
        length = _length(domain)
        return Language(Cached((self.layers, self.heads, length, self._head_width), length // 2), domain.vocabulary)

    @property
    def _head_width(self) -> int:
        return self.head_width or self.width // self.heads


class Decoder(nn.Module):
    """Embedding, blocks, and a last norm before the embedding's transpose makes logits."""

    def __init__(self, symbols: int, length: int, layers: int, heads: int, head_width: int, width: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, width)
        nn.init.normal_(self.embedding.weight, std=0.05)  # small, because these are also the weights of the logits
        self.dropout = nn.Dropout(dropout)
        rotation = Rotation(length, head_width)
        self.blocks = nn.ModuleList(RotaryBlock(width, heads, head_width, 4 * width, dropout, rotation) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens int64 [N, T] -> logits [N, T, V]."""
        return self.read(tokens)[0]

    def read(self, tokens: torch.Tensor) -> tuple[torch.Tensor, list[KeysValues]]:
        """Logits [N, T, V] and each layer's keys and values of tokens int64 [N, T] that begin a text."""
        length = tokens.shape[1]
        x, positions = self.dropout(self.embedding(tokens)), torch.arange(length, device=tokens.device)[None]
        visible, made = causal(length, tokens.device), []
        for block in self.blocks:
            x, own = block(x, positions, visible)
            made.append(own)
        return self.logits(x), made

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Of the residual stream [..., width]."""
        return functional.linear(self.norm(x), self.embedding.weight)


class Step(nn.Module):
    """The decoder on one symbol and the cache of those before it."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self, token: torch.Tensor, position: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Token and position int64 [N], cache [N, layers, heads, T, head_dim] twice.

        Returns logits [N, V] and the position's own key and value [N, layers, heads, head_dim]; what the cache holds at its
        place and later is not looked at.
        """
        x = self.decoder.embedding(token[:, None])
        visible, made = cached(position, keys.shape[3]), []
        for layer, block in enumerate(self.decoder.blocks):
            x, own = block(x, position[:, None], visible, (keys[:, layer], values[:, layer]))
            made.append(own)
        key, value = (torch.stack(part, dim=1)[:, :, :, 0] for part in zip(*made, strict=True))
        return self.decoder.logits(x)[:, 0], key, value


class Prefill(nn.Module):
    """The decoder on a whole prompt; what follows a shorter one is padding, at which nothing before it looks."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens int64 [N, P] -> logits [N, P, V], keys and values [N, layers, heads, P, head_dim]."""
        logits, made = self.decoder.read(tokens)
        keys, values = (torch.stack(part, dim=1) for part in zip(*made, strict=True))
        return logits, keys, values


def _length(domain: Domain) -> int:
    """The longest text that can be read: a window without its last symbol, which is only predicted."""
    return domain.inputs["tokens"].shape[1] - 1
