"""From next-symbol logits to sequences: greedy, sampled, and by beam search. Numpy only, so that a device runs the same loops.

A model is a `Step`. It gets the last symbols and a state, and says what it thinks of every symbol that could come next. The
rows of all arrays belong to sequences: the loops drop the rows of sequences that have ended and copy those of hypotheses
that branch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.core import Array, Arrays

Step = Callable[[Array, Arrays], tuple[Array, Arrays]]
"""step(tokens int64 [N], state {name: [N, ...]}) -> (logits float [N, V], new state)."""


def greedy(step: Step, first: Array, state: Arrays, length: int, end: int | None = None) -> Array:
    """The likeliest symbol at every place: int64 [N, length] after `first` [N], filled with `end` once that has come."""
    return _one_by_one(step, first, state, length, end, lambda logits: logits.argmax(axis=-1))


def sample(
    step: Step,
    first: Array,
    state: Arrays,
    length: int,
    generator: np.random.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    end: int | None = None,
) -> Array:
    """Symbols drawn by their probability at `temperature`, out of the `top_k` likeliest and of the `top_p` nucleus of those.

    int64 [N, length] after `first` [N], filled with `end` once that has come.
    """
    allowed(np.zeros((1, 1)), temperature, top_k, top_p)  # nonsense is refused before the first step

    def draw(logits: Array) -> Array:
        return drawn(allowed(logits, temperature, top_k, top_p), generator)

    return _one_by_one(step, first, state, length, end, draw)


def beam(step: Step, first: Array, state: Arrays, width: int, length: int, end: int, alpha: float = 0.6) -> Array:
    """The best hypothesis that a beam search of `width` finds for each of N inputs: int64 [N, length], filled with `end`.

    The score is the log-likelihood over GNMT's length penalty (Wu et al. 2016, "Google's Neural Machine Translation System").
    A hypothesis is finished by `end`, which counts in its length, or by `length`; it keeps its place in the beam (Bahdanau et
    al. 2015), so that a beam of width 1 is greedy. Open ones that cannot beat the best finished one are dropped, and an
    input without open ones is done. All inputs go side by side: a step sees at most N * width rows.
    """
    if width < 1 or alpha < 0:
        raise ValueError(f"beam: width is {width} and alpha {alpha}; expected at least 1 and at least 0")
    best, best_value = np.full((len(first), _positive(length)), end, np.int64), np.full(len(first), -np.inf)
    places = np.full(len(first), width)
    # One row a hypothesis that is still open: the input it is for, its log-likelihood, its symbols so far.
    owner, score, made, tokens = np.arange(len(first)), np.zeros(len(first)), np.empty((len(first), 0), np.int64), first
    for size in range(1, length + 1):
        logits, state = step(tokens, state)
        total = score[:, None] + log_softmax(logits)
        rows, tokens = _likeliest(total, owner, places)
        owner, score, made = owner[rows], total[rows, tokens], np.column_stack((made[rows], tokens))
        finished = (tokens == end) | (size == length)
        for row in np.flatnonzero(finished):
            places[owner[row]] -= 1
            if (value := score[row] / penalty(size, alpha)) > best_value[owner[row]]:
                best_value[owner[row]] = value
                best[owner[row]] = end
                best[owner[row], :size] = made[row]
        # The likelihood only falls from here, and the penalty only grows: this is what an open one can reach at most.
        still = ~finished & (score / penalty(length, alpha) > best_value[owner])
        if not still.any():
            break
        rows, owner, score, made, tokens = rows[still], owner[still], score[still], made[still], tokens[still]
        state = {name: array[rows] for name, array in state.items()}
    return best


def penalty(length: int, alpha: float) -> float:
    """GNMT's length penalty, `((5 + length) / 6) ** alpha`: 1 for one symbol, and without effect where alpha is 0."""
    return float(((5 + length) / 6) ** alpha)


def log_softmax(logits: Array) -> Array:
    """Log-probabilities along the last axis, float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    values: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return values


def allowed(logits: Array, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> Array:
    """Logits [N, V] as they are drawn from: over the temperature, minus infinity where a symbol is cut off.

    First all but the `top_k` likeliest, then all but the smallest set of those whose probability reaches `top_p` (Holtzman et
    al. 2020, "The Curious Case of Neural Text Degeneration"). Among equals the first ones stay, as in `argmax`.
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature is {temperature}; expected more than 0")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; expected at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; expected more than 0 and at most 1")
    with np.errstate(over="ignore"):  # near temperature 0 all but the largest become minus infinity: that is the limit
        scaled: Array = (logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)) / temperature
    order = np.argsort(-scaled, axis=-1, kind="stable")
    falling = np.take_along_axis(scaled, order, axis=-1)
    if top_k is not None:
        falling[..., top_k:] = -np.inf
    if top_p is not None:
        probability = np.exp(log_softmax(falling))
        before = np.cumsum(probability, axis=-1) - probability
        before[..., 0] = 0  # exactly, so that the likeliest always stays
        falling[before >= top_p] = -np.inf
    np.put_along_axis(scaled, order, falling, axis=-1)
    return scaled


def drawn(logits: Array, generator: np.random.Generator) -> Array:
    """A symbol by its probability, int64 [...], of logits [..., V]; minus infinity is never drawn."""
    # The largest of logits plus Gumbel noise is a draw from their softmax (Gumbel 1954).
    return np.asarray((logits + generator.gumbel(size=logits.shape)).argmax(axis=-1))


def _one_by_one(step: Step, first: Array, state: Arrays, length: int, end: int | None, choose: Callable[[Array], Array]) -> Array:
    """The loop of `greedy` and `sample`: only sequences that have not ended are asked for more."""
    made = np.full((len(first), _positive(length)), -1 if end is None else end, np.int64)
    alive, tokens = np.arange(len(first)), first
    for place in range(length):
        logits, state = step(tokens, state)
        tokens = choose(logits)
        made[alive, place] = tokens
        if end is not None and (ended := tokens == end).any():
            alive, tokens = alive[~ended], tokens[~ended]
            state = {name: array[~ended] for name, array in state.items()}
            if not len(alive):
                break
    return made


def _likeliest(total: Array, owner: Array, places: Array) -> tuple[Array, Array]:
    """The best candidates of each input, as many as it has places: the rows of `total` [rows, V] and the symbols.

    Best first, and among equals the first row and symbol first.
    """
    chosen: list[Array] = []
    symbols = total.shape[1]
    for each in np.unique(owner):
        rows = np.flatnonzero(owner == each)
        values = total[rows].ravel()
        count = min(int(places[each]), len(values))
        candidates = np.flatnonzero(values >= np.partition(values, -count)[-count])
        ranked = candidates[np.argsort(-values[candidates], kind="stable")[:count]]
        chosen.append(rows[ranked // symbols] * symbols + ranked % symbols)
    flat = np.concatenate(chosen)
    return flat // symbols, flat % symbols


def _positive(length: int) -> int:
    if length < 1:
        raise ValueError(f"length is {length}; expected at least 1")
    return length
