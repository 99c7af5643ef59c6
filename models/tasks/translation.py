"""Translation by beam search, judged by BLEU (Papineni et al. 2002) as sacreBLEU counts it (Post 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.data._subwords import END, START, decode
from models.tasks.decode import beam
from pipeline.core import Array, Arrays, Detail, Example, Predict, Task

GROUP = 64
"""Sentences that are translated side by side: bounds the memory of their caches."""
RESAMPLES, SEED = 1000, 0


@dataclass(frozen=True)
class Translation(Task):
    """Judges translations of `source` against the raw `reference` (UTF-8 bytes uint8 [N, bytes], then zeros).

    Two graphs: "encoder" reads a source once, int64 [1, S] -> cross_keys and cross_values; "step" goes on by one symbol: token
    and position int64 [1], keys and values float32 [1, layers, heads, L, head_dim], source, cross_keys, cross_values -> logits
    [1, V], key and value [1, layers, heads, head_dim] of the new position, which this loop writes into its cache.
    sacreBLEU's signature is `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0`.
    """

    cache: tuple[int, int, int, int]
    """layers, heads, the longest translation, head_dim."""
    vocabulary: tuple[str, ...]
    beam: int = 4
    metric: ClassVar[str] = "bleu"
    unit: ClassVar[str] = "BLEU points"
    higher_is_better: ClassVar[bool] = True
    margin: ClassVar[float] = 0.5

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Evidence {"made", "wanted": str [N]}: the texts. A device translates; sacreBLEU counts where the evidence is read."""
        return {"made": np.array(self.translate(predictors, samples["source"])), "wanted": np.array(_references(samples))}

    def value(self, evidence: Arrays) -> float:
        """BLEU of the whole corpus, from the sentences' summed counts."""
        return float(_bleu(_counts(evidence).sum(axis=0)))

    def interval(self, evidence: Arrays) -> tuple[float, float]:
        """95 % percentile interval of a bootstrap over sentences (Koehn 2004, "Statistical Significance Tests for MT")."""
        return _percentiles(_bleu(_resampled(_counts(evidence))))

    def difference(self, evidence: Arrays, reference: Arrays) -> tuple[float, float, float]:
        """BLEU minus the reference's, with the 95 % interval of Koehn's paired bootstrap: both get the same sentences."""
        delta = self.value(evidence) - self.value(reference)
        return delta, *_percentiles(_bleu(_resampled(_counts(evidence))) - _bleu(_resampled(_counts(reference))))

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """The brevity ratio: words of the translations over words of the references; BLEU punishes less than 1."""
        counts = _counts(evidence)
        drawn = _resampled(counts)
        low, high = _percentiles(drawn[:, 0] / drawn[:, 1])
        return (Detail("brevity_ratio", float(counts[:, 0].sum() / counts[:, 1].sum()), low, high),)

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """Source, translation and reference."""
        given = (decode(row, self.vocabulary) for row in samples["source"])
        made = self.translate(predictors, samples["source"])
        return tuple(Example(*texts) for texts in zip(given, made, _references(samples), strict=True))

    def translate(self, predictors: Mapping[str, Predict], source: Array) -> list[str]:
        """The texts that beam search finds for sources int64 [N, S]."""
        return [decode(row, self.vocabulary) for row in self.search(predictors, source)]

    def search(self, predictors: Mapping[str, Predict], source: Array) -> Array:
        """The tokens int64 [N, T] that beam search finds for sources int64 [N, S]."""
        groups = (source[start : start + GROUP] for start in range(0, len(source), GROUP))
        return np.concatenate([self._search(predictors, group) for group in groups])

    def _search(self, predictors: Mapping[str, Predict], source: Array) -> Array:
        constant: Arrays = {"source": source, **predictors["encoder"]({"source": source})}

        def step(tokens: Array, state: Arrays) -> tuple[Array, Arrays]:
            rows, position = np.arange(len(tokens)), state["position"]
            own = {name: array[state["sentence"]] for name, array in constant.items()}
            cache = {"keys": state["keys"], "values": state["values"]}
            outputs = predictors["step"]({"token": tokens, "position": position, **cache, **own})
            cache["keys"][rows, :, :, position] = outputs["key"]
            cache["values"][rows, :, :, position] = outputs["value"]
            return outputs["logits"], {**state, "position": position + 1}

        rows = len(source)
        # Rows follow the hypotheses; of what is the same for all those of a sentence only its number goes with them.
        state: Arrays = {"sentence": np.arange(rows), "position": np.zeros(rows, np.int64)}
        state |= {name: np.zeros((rows, *self.cache), np.float32) for name in ("keys", "values")}
        return beam(step, np.full(rows, START, np.int64), state, self.beam, self.cache[2], END)


def _references(samples: Arrays) -> list[str]:
    return [row.tobytes().rstrip(b"\0").decode() for row in samples["reference"]]


def _counts(evidence: Arrays) -> Array:
    """int64 [N, 10], a row a sentence: lengths of translation and reference, n-grams right, n-grams made."""
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU(effective_order=True)  # plays no part in the counts, but it asks for this where sentences are scored
    texts = zip(evidence["made"].tolist(), evidence["wanted"].tolist(), strict=True)
    scores = (bleu.sentence_score(made, [wanted]) for made, wanted in texts)
    return np.array([[score.sys_len, score.ref_len, *score.counts, *score.totals] for score in scores], np.int64)


def _bleu(counts: Array) -> Array:
    """BLEU in points of summed counts [..., 10], as `sacrebleu.corpus_bleu` with its defaults.

    An order without any right n-gram counts as half of one, the next such as a quarter (mteval's "exp" smoothing).
    """
    made, wanted = counts[..., 0], counts[..., 1]
    right, total = counts[..., 2:6], counts[..., 6:10]
    smoothed = np.where(right == 0, 0.5 ** np.cumsum(right == 0, axis=-1), right)
    with np.errstate(divide="ignore", invalid="ignore"):  # without a 4-gram, or a word, it is 0
        brevity = np.minimum(0.0, 1 - wanted / made)
        score = 100 * np.exp(brevity + np.log(smoothed / total).mean(axis=-1))
    values: Array = np.where((total > 0).all(axis=-1) & (right > 0).any(axis=-1), score, 0.0)
    return values


def _resampled(counts: Array) -> Array:
    """Sums over as many sentences as there are, drawn with replacement: [RESAMPLES, 10], the same draw for as many sentences."""
    n = len(counts)
    times: Array = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return times @ counts


def _percentiles(values: Array) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
