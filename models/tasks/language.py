"""Language models of characters: the likelihood of text, in nats a character, and text that they write. Numpy only.

Whatever the network, the judge asks it the same: to read the beginning of some texts, and then to go on symbol by symbol. Two
adapters say how the deployed graphs do that: `Recurrent` for networks with a state, `Cached` for transformers with a cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from typing import ClassVar, Protocol

import numpy as np

from models.tasks import _mean
from models.tasks.decode import Step, log_softmax, sample
from pipeline.core import Array, Arrays, Detail, Example, Predict
from pipeline.errors import UserError

PROMPT, CONTINUATION, TEMPERATURE, SEED = 32, 200, 0.8, 0
"""Of the examples, in characters: the same for every model and file, so that a person can compare them."""


class Reader(Protocol):
    """How a model's graphs read text and go on with it."""

    @property
    def longest(self) -> int | None:
        """The most symbols that it can read and write in all; None where there is no end."""

    def read(self, predictors: Mapping[str, Predict], tokens: Array) -> tuple[Array, Arrays]:
        """Tokens [N, L] -> logits [N, L, V] of what follows each of them, and the state after the last."""

    def step(self, predictors: Mapping[str, Predict]) -> Step:
        """One more symbol, as the loops of models.tasks.decode want it."""


@dataclass(frozen=True)
class Recurrent:
    """One graph "step": token int64 [1] and the states -> logits [1, V], then the new states."""

    states: Mapping[str, tuple[int, ...]]
    """Inputs and their shapes without the batch; the new state of `hidden` is the output `next_hidden`. All start at zero."""
    longest: int | None = None

    def read(self, predictors: Mapping[str, Predict], tokens: Array) -> tuple[Array, Arrays]:
        """Step by step, all texts side by side."""
        state = {name: np.zeros((len(tokens), *shape), np.float32) for name, shape in self.states.items()}
        return _steps(self.step(predictors), tokens, state)

    def step(self, predictors: Mapping[str, Predict]) -> Step:
        """Runs the graph once."""

        def run(tokens: Array, state: Arrays) -> tuple[Array, Arrays]:
            outputs = predictors["step"]({"token": tokens, **state})
            return outputs["logits"], {name: outputs[f"next_{name}"] for name in state}

        return run


@dataclass(frozen=True)
class Cached:
    """Two graphs: "prefill" reads the first `prompt` symbols at once, "step" reads one more.

    prefill: tokens int64 [1, prompt] -> logits [1, prompt, V], keys and values float32 [1, layers, heads, prompt, head_dim].
    step: token int64 [1], position int64 [1] (the token's, from 0), keys and values [1, layers, heads, length, head_dim] ->
    logits [1, V], key and value [1, layers, heads, head_dim] of the new position, which this loop writes into its cache, so
    that no runtime copies a cache out. What the cache holds at and after `position` must not matter to the graph.
    """

    cache: tuple[int, int, int, int]
    """layers, heads, length, head_dim."""
    prompt: int
    """Less than the cache's length: else "step" would never be asked."""

    @property
    def longest(self) -> int:
        """The length of the cache."""
        return self.cache[2]

    def read(self, predictors: Mapping[str, Predict], tokens: Array) -> tuple[Array, Arrays]:
        """Prefills what fits into the prompt, padded on the right (nothing looks ahead), and steps through the rest."""
        rows, known = len(tokens), min(tokens.shape[1], self.prompt)
        prompt = np.zeros((rows, self.prompt), np.int64)
        prompt[:, :known] = tokens[:, :known]
        outputs = predictors["prefill"]({"tokens": prompt})
        state: Arrays = {"position": np.full(rows, known, np.int64)}
        for name in ("keys", "values"):
            state[name] = np.zeros((rows, *self.cache), np.float32)
            state[name][..., :known, :] = outputs[name][..., :known, :]
        logits, state = _steps(self.step(predictors), tokens[:, known:], state)
        return np.concatenate([outputs["logits"][:, :known], *([logits] if logits.size else [])], axis=1), state

    def step(self, predictors: Mapping[str, Predict]) -> Step:
        """Runs the graph once, and writes the new position into the cache in place."""

        def run(tokens: Array, state: Arrays) -> tuple[Array, Arrays]:
            outputs = predictors["step"]({"token": tokens, **state})
            rows, position = np.arange(len(tokens)), state["position"]
            state["keys"][rows, :, :, position] = outputs["key"]
            state["values"][rows, :, :, position] = outputs["value"]
            return outputs["logits"], {**state, "position": position + 1}

        return run


@dataclass(frozen=True)
class Language(_mean.Averaged):
    """Judges windows of text {"tokens": int64 [N, T + 1]} by the likelihood of all but their first symbols."""

    reader: Reader
    vocabulary: tuple[str, ...]
    metric: ClassVar[str] = "nats_per_character"
    unit: ClassVar[str] = "nats"
    higher_is_better: ClassVar[bool] = False
    margin: ClassVar[float] = 0.01

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Evidence, a row a window: {"nats": of its T last symbols, each given those before it, "characters": T}."""
        tokens = samples["tokens"]
        logits, _ = self.reader.read(predictors, tokens[:, :-1])
        likelihood = np.take_along_axis(log_softmax(logits), tokens[:, 1:, None], axis=-1)[..., 0]
        return {"nats": -likelihood.sum(axis=1), "characters": np.full(len(tokens), likelihood.shape[1])}

    def numbers(self, evidence: Arrays) -> tuple[Array, Array]:
        """Negative log-likelihoods over characters; the windows are taken as independent."""
        return evidence["nats"], evidence["characters"]

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """Perplexity: of how many equally likely characters the model is as unsure."""
        low, high = self.interval(evidence)
        return (Detail("perplexity", exp(self.value(evidence)), exp(low), exp(high)),)

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """The beginning of each window as prompt, and how the model goes on."""
        tokens = samples["tokens"]
        prompt = tokens[:, : min(PROMPT, tokens.shape[1] // 2)]
        given = [decode(row, self.vocabulary) for row in prompt]
        _, state = self.reader.read(predictors, prompt[:, :-1])
        room = CONTINUATION if self.reader.longest is None else min(CONTINUATION, self.reader.longest + 1 - prompt.shape[1])
        generator = np.random.default_rng(SEED)
        made = sample(self.reader.step(predictors), prompt[:, -1], state, room, generator, TEMPERATURE)
        return tuple(Example(start, decode(row, self.vocabulary)) for start, row in zip(given, made, strict=True))


def encode(characters: str, vocabulary: tuple[str, ...], where: str) -> Array:
    """Text -> int64 [length], the place of each character in the vocabulary; a UserError that says `where` for one not in it."""
    codes = np.frombuffer(characters.encode("utf-32-le", "surrogatepass"), np.uint32)
    known = np.array([ord(character) for character in vocabulary], np.uint32)
    order = np.argsort(known)
    tokens: Array = order[np.searchsorted(known[order], codes).clip(max=len(known) - 1)].astype(np.int64)
    if len(strange := np.flatnonzero(known[tokens] != codes)):
        place = int(strange[0])
        line, column = characters.count("\n", 0, place) + 1, place - characters.rfind("\n", 0, place)
        raise UserError(f"{where}: line {line}, column {column} is {characters[place]!r}; expected one of {_listed(vocabulary)}")
    return tokens


def decode(tokens: Array, vocabulary: tuple[str, ...]) -> str:
    """The text of tokens [length]: what `encode` came from."""
    return "".join(vocabulary[token] for token in tokens)


def _steps(step: Step, tokens: Array, state: Arrays) -> tuple[Array, Arrays]:
    """Reads tokens [N, L] symbol by symbol: logits [N, L, V] and the state after the last."""
    logits: list[Array] = []
    for place in range(tokens.shape[1]):
        each, state = step(tokens[:, place], state)
        logits.append(each)
    return np.stack(logits, axis=1) if logits else np.empty((len(tokens), 0, 0)), state


def _listed(vocabulary: tuple[str, ...]) -> str:
    """The vocabulary in a few words."""
    shown = " ".join(ascii(character)[1:-1] for character in vocabulary if not character.isspace())
    return f"the {len(vocabulary)} characters of the vocabulary: {shown if len(shown) <= 100 else shown[:97] + '...'}"
