"""The judge of language models: known likelihoods, and the same text through a state, a cache and a prompt."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tasks.language import Cached, Language, Reader, Recurrent, decode, encode
from pipeline.core import Array, Arrays, Predict
from pipeline.errors import UserError

VOCABULARY = tuple("\n abcdef")
V, T, P = len(VOCABULARY), 12, 5
WEIGHT = np.random.default_rng(0).normal(size=(2 * V, V)).astype(np.float32)
RECURRENT, CACHED = Recurrent({"sum": (1, V)}), Cached(cache=(1, 1, T, V), prompt=P)


def logits(seen: Array, last: Array) -> Array:
    """A network that knows how often each symbol came, and the last one: one that must have been told of all of them."""
    return np.concatenate([seen, last], axis=-1) @ WEIGHT


def recurrent() -> dict[str, Predict]:
    def step(inputs: Arrays) -> Arrays:
        last = np.eye(V, dtype=np.float32)[inputs["token"]]
        seen = inputs["sum"] + last[:, None]
        return {"logits": logits(seen[:, 0], last), "next_sum": seen}

    return {"step": step}


def cached() -> dict[str, Predict]:
    """The same with a cache of one-hot vectors; what it may not look at is filled with what would be noticed."""

    def step(inputs: Arrays) -> Arrays:
        assert (inputs["position"] < T).all()
        last = np.eye(V, dtype=np.float32)[inputs["token"]]
        before = np.arange(T) < inputs["position"][:, None]
        seen = (inputs["keys"][:, 0, 0] * before[..., None]).sum(axis=1) + last
        np.testing.assert_array_equal(inputs["keys"], inputs["values"])
        return {"logits": logits(seen, last), "key": last[:, None, None], "value": last[:, None, None]}

    def prefill(inputs: Arrays) -> Arrays:
        assert inputs["tokens"].shape[1:] == (P,)
        each = np.eye(V, dtype=np.float32)[inputs["tokens"]]
        return {"logits": logits(each.cumsum(axis=1), each), "keys": each[:, None, None], "values": each[:, None, None]}

    return {"step": step, "prefill": prefill}


def windows(count: int, length: int = T + 1) -> Array:
    return np.random.default_rng(1).integers(0, V, (count, length))


def asked(predictors: Mapping[str, Predict]) -> tuple[dict[str, Predict], list[tuple[str, int]]]:
    calls: list[tuple[str, int]] = []

    def watching(name: str) -> Predict:
        def run(inputs: Arrays) -> Arrays:
            calls.append((name, len(next(iter(inputs.values())))))
            return predictors[name](inputs)

        return run

    return {name: watching(name) for name in predictors}, calls


def test_a_model_that_knows_nothing_has_the_alphabet_as_its_perplexity() -> None:
    flat: dict[str, Predict] = {"step": lambda given: {"logits": np.zeros((len(given["token"]), V)), "next_sum": given["sum"]}}
    task = Language(RECURRENT, VOCABULARY)
    evidence = task.collect(flat, {"tokens": windows(6)})
    assert evidence["characters"].tolist() == [T] * 6
    assert task.value(evidence) == pytest.approx(np.log(V))
    (perplexity,) = task.details(evidence)
    assert perplexity.metric == "perplexity"
    assert (perplexity.value, perplexity.low, perplexity.high) == pytest.approx((V, V, V))


def test_a_model_that_is_sure_and_right_needs_no_nats() -> None:
    tokens = np.arange(T + 1)[None] % V
    sure: dict[str, Predict] = {
        "step": lambda given: {"logits": 100 * np.eye(V)[(given["token"] + 1) % V], "next_sum": given["sum"]}
    }
    task = Language(RECURRENT, VOCABULARY)
    assert task.value(task.collect(sure, {"tokens": tokens})) == pytest.approx(0, abs=1e-12)
    assert task.value(task.collect(sure, {"tokens": tokens[:, ::-1]})) == pytest.approx(100)


def test_a_state_and_a_cache_of_the_same_network_are_judged_the_same() -> None:
    samples = {"tokens": windows(4)}
    through_state, states = asked(recurrent())
    through_cache, caches = asked(cached())
    ours = Language(CACHED, VOCABULARY).collect(through_cache, samples)
    theirs = Language(RECURRENT, VOCABULARY).collect(through_state, samples)
    np.testing.assert_allclose(ours["nats"], theirs["nats"], rtol=1e-6)
    # All windows side by side; the prompt at once, and both deployed graphs are asked.
    assert states == [("step", 4)] * T
    assert caches == [("prefill", 4)] + [("step", 4)] * (T - P)


@given(length=st.integers(0, T))
def test_a_text_of_any_length_is_read_the_same_way(length: int) -> None:
    tokens = windows(3, length)
    ours, ours_after = CACHED.read(cached(), tokens)
    theirs, theirs_after = RECURRENT.read(recurrent(), tokens)
    if length:
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    if length < T:  # and both can go on from there
        step = CACHED.step(cached()), RECURRENT.step(recurrent())
        following = [each(np.arange(3), state)[0] for each, state in zip(step, (ours_after, theirs_after), strict=True)]
        np.testing.assert_allclose(following[0], following[1], rtol=1e-5, atol=1e-5)


def test_worse_is_negative_although_lower_is_better() -> None:
    task, random = Language(RECURRENT, VOCABULARY), np.random.default_rng(0)
    nats, count = random.normal(200, 10, size=50), np.full(50, 100)
    worse = nats + random.normal(5, 1, size=50)
    delta, low, high = task.difference({"nats": worse, "characters": count}, {"nats": nats, "characters": count})
    assert low < delta < high < 0
    assert delta == pytest.approx(-0.05, abs=0.005)
    assert not task.higher_is_better


def test_more_windows_are_surer() -> None:
    task, random = Language(RECURRENT, VOCABULARY), np.random.default_rng(0)
    spans = []
    for n in (20, 2000):
        low, high = task.interval({"nats": random.normal(200, 10, size=n), "characters": np.full(n, 100)})
        assert low < 2 < high
        spans.append(high - low)
    assert spans[1] < spans[0] / 5


@pytest.mark.parametrize(
    ("reader", "predictors", "length", "made"),
    [
        (RECURRENT, recurrent(), 80, 200),
        (RECURRENT, recurrent(), 2, 200),
        (CACHED, cached(), T, T + 1 - 6),
        (CACHED, cached(), 2, T),
    ],
    ids=["recurrent", "recurrent, short windows", "cached, as much as fits", "cached, short windows"],
)
def test_examples_go_on_from_the_beginning_of_a_window(
    reader: Reader, predictors: dict[str, Predict], length: int, made: int
) -> None:
    task, tokens = Language(reader, VOCABULARY), windows(3, length + 1)
    first, again = (task.examples(predictors, {"tokens": tokens}) for _ in range(2))
    assert first == again
    assert [example.given for example in first] == [decode(row[: min(32, (length + 1) // 2)], VOCABULARY) for row in tokens]
    for example in first:
        assert len(example.made) == made
        assert set(example.made) <= set(VOCABULARY)
        assert example.wanted is None


def test_examples_of_the_same_network_are_the_same_text() -> None:
    samples = {"tokens": windows(2)}
    ours = Language(CACHED, VOCABULARY).examples(cached(), samples)
    theirs = Language(RECURRENT, VOCABULARY).examples(recurrent(), samples)
    for one, other in zip(ours, theirs, strict=True):
        assert other.made.startswith(one.made)


@given(st.text(alphabet=VOCABULARY), st.permutations(VOCABULARY))
def test_decoding_gives_the_text_back(text: str, vocabulary: list[str]) -> None:
    tokens = encode(text, tuple(vocabulary), "prompt")
    assert tokens.dtype == np.int64
    assert decode(tokens, tuple(vocabulary)) == text


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("é", "line 1, column 1 is 'é'"),
        ("ab\nc😀f", "line 2, column 2 is '😀'"),
        ("\n\n\x00", r"line 3, column 1 is '\\x00'"),
        ("a\udce9", r"line 1, column 2 is '\\udce9'"),
        ("abc\t", r"line 1, column 4 is '\\t'"),
    ],
)
def test_a_strange_character_is_named_with_its_place(text: str, place: str) -> None:
    with pytest.raises(UserError, match=f"^prompt: {place}; expected one of the 8 characters of the vocabulary: a b c d e f$"):
        encode(text, VOCABULARY, "prompt")


def test_a_large_vocabulary_is_shortened() -> None:
    with pytest.raises(UserError) as caught:
        encode("!", tuple(map(chr, range(0x4E00, 0x5E00))), "prompt")
    assert "4096 characters" in str(caught.value)
    assert len(str(caught.value)) < 250
