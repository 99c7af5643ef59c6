"""The judge of translations: sacreBLEU's figure from summed counts, and hypotheses that keep their own caches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu import corpus_bleu
from sacrebleu.metrics.bleu import BLEU

from models.data._subwords import END, PAD
from models.tasks.translation import GROUP, Translation
from pipeline.core import Array, Arrays, Predict

WORDS = ("rot", "grün", "blau", "gelb", "weiß", "schwarz")
VOCABULARY = ("<pad>", "<start>", "<end>", "<unk>", *(f"\u2581{word}" for word in WORDS))
V, L = len(VOCABULARY), 6
TASK = Translation(cache=(1, 1, L, V), vocabulary=VOCABULARY)


def samples(rows: list[list[int]], references: list[str]) -> Arrays:
    source = np.full((len(rows), L), PAD, np.int64)
    for line, row in zip(source, rows, strict=True):
        line[: len(row) + 1] = [*row, END]
    raw = [text.encode() for text in references]
    width = max(map(len, raw))
    return {"source": source, "reference": np.array([list(text.ljust(width, b"\0")) for text in raw], np.uint8)}


def copier() -> dict[str, Predict]:
    """A network that repeats its source: it finds its place by what its own cache holds, and is unsure between two words.

    The second best word is always close, so that a beam keeps hypotheses that differ, and mixed up caches would be noticed.
    """

    def encoder(inputs: Arrays) -> Arrays:
        each = np.eye(V, dtype=np.float32)[inputs["source"]][:, None, None]
        return {"cross_keys": each, "cross_values": 2 * each}

    def step(inputs: Arrays) -> Arrays:
        position, rows = inputs["position"], np.arange(len(inputs["token"]))
        np.testing.assert_array_equal(np.eye(V)[inputs["source"]], inputs["cross_keys"][:, 0, 0])
        np.testing.assert_array_equal(2 * inputs["cross_keys"], inputs["cross_values"])
        last = np.eye(V, dtype=np.float32)[inputs["token"]][:, None, None]
        written = inputs["keys"][:, 0, 0]
        assert (written.sum(axis=2) == (np.arange(L) < position[:, None])).all()
        made = np.concatenate([written.argmax(axis=2)[:, 1:], np.zeros((len(rows), 1), int)], axis=1)
        made[rows[position > 0], position[position > 0] - 1] = inputs["token"][position > 0]
        right = (made == inputs["source"]) | (np.arange(L) >= position[:, None])
        logits = np.zeros((len(rows), V), np.float32)
        logits[rows, inputs["source"][rows, position]] = 3
        logits[rows, 4 + (position % len(WORDS))] += 2.5
        logits[~right.all(axis=1)] = 0  # a hypothesis with a wrong word before is lost
        return {"logits": logits, "key": last, "value": last}

    return {"encoder": encoder, "step": step}


def test_every_hypothesis_goes_on_from_its_own_cache() -> None:
    rows = [[4, 5, 6, 7], [9, 8, 7], [5]] * (GROUP // 2)
    texts = ["rot grün blau gelb", "schwarz weiß gelb", "grün"] * (GROUP // 2)
    given_ = samples(rows, texts)
    assert TASK.translate(copier(), given_["source"]) == texts
    evidence = TASK.collect(copier(), given_)
    assert evidence["made"].tolist() == evidence["wanted"].tolist() == texts
    assert TASK.value(evidence) == pytest.approx(100)


def test_examples_show_source_translation_and_raw_reference() -> None:
    (example,) = TASK.examples(copier(), samples([[4, 9]], ["rot  schwärz"]))
    assert (example.given, example.made, example.wanted) == ("rot schwarz", "rot schwarz", "rot  schwärz")


SENTENCES = st.lists(st.sampled_from([*WORDS, "und", ",", "."]), max_size=9).map(" ".join)


def evidence(pairs: list[tuple[str, str]]) -> Arrays:
    made, wanted = zip(*pairs, strict=True)
    return {"made": np.array(made), "wanted": np.array(wanted)}


@given(st.lists(st.tuples(SENTENCES, SENTENCES.filter(bool)), min_size=1, max_size=8))
def test_it_is_sacrebleus_corpus_bleu(pairs: list[tuple[str, str]]) -> None:
    made, wanted = zip(*pairs, strict=True)
    assert TASK.value(evidence(pairs)) == pytest.approx(corpus_bleu(list(made), [list(wanted)]).score, abs=1e-9)


def test_the_signature_is_the_documented_one() -> None:
    bleu = BLEU()
    bleu.corpus_score(["ja"], [["ja"]])
    assert f"`{bleu.get_signature()}`" in (Translation.__doc__ or "")


def random_evidence(count: int, chance: float) -> Arrays:
    """Sentences of eight words, of which each is right with the same chance."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(count):
        wanted = rng.choice(WORDS, 8)
        pairs.append((" ".join(np.where(rng.random(8) < chance, wanted, "falsch")), " ".join(wanted)))
    return evidence(pairs)


def test_the_interval_holds_the_value_and_shrinks_with_the_root_of_the_sentences() -> None:
    widths = []
    for count in (50, 800):
        found = random_evidence(count, 0.7)
        low, high = TASK.interval(found)
        assert low < TASK.value(found) < high
        assert TASK.interval(found) == (low, high)
        widths.append(high - low)
    assert 2.5 < widths[0] / widths[1] < 6  # 4, give or take what 50 sentences know of their spread


def test_the_difference_is_paired_and_worse_is_negative() -> None:
    better, worse = random_evidence(300, 0.8), random_evidence(300, 0.7)
    delta, low, high = TASK.difference(worse, better)
    assert low < delta < high < 0
    assert TASK.difference(better, worse) == pytest.approx((-delta, -high, -low))
    assert TASK.difference(better, better) == (0, 0, 0)
    alone = [TASK.interval(each) for each in (better, worse)]
    assert high - low < sum(end - start for start, end in alone)


def test_half_of_the_words_is_a_brevity_ratio_of_one_half() -> None:
    (ratio,) = TASK.details(evidence([("rot grün", "rot grün blau gelb")] * 5))
    assert (ratio.metric, ratio.value, ratio.low, ratio.high) == ("brevity_ratio", 0.5, 0.5, 0.5)


def test_a_network_that_says_nothing_scores_nothing() -> None:
    def step(inputs: Arrays) -> Arrays:
        logits: Array = np.zeros((len(inputs["token"]), V), np.float32)
        logits[:, END] = 9
        nothing = np.zeros((len(logits), 1, 1, V), np.float32)
        return {"logits": logits, "key": nothing, "value": nothing}

    found = TASK.collect({**copier(), "step": step}, samples([[4, 5]], ["rot grün"]))
    assert TASK.value(found) == 0.0
