"""The judge's intervals cover the truth as often as they say, and its paired difference knows its pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tasks.classification import Classification, wilson

TASK = Classification("classifier")


def evidence(*values: bool) -> dict[str, np.ndarray]:
    return {"correct": np.array(values, dtype=bool)}


def test_logits_are_judged_by_their_largest() -> None:
    logits = np.array([[0.0, 2.0], [3.0, 1.0], [0.0, 1.0]], dtype=np.float32)
    found = TASK.collect({"classifier": lambda inputs: {"logits": logits}}, {"image": logits, "label": np.array([1, 0, 0])})
    assert found["correct"].tolist() == [True, True, False]
    assert TASK.value(found) == pytest.approx(2 / 3)


def test_exact_interval_agrees_with_the_textbook() -> None:
    low, high = TASK.interval(evidence(*[True] * 8, *[False] * 2))
    assert (round(low, 4), round(high, 4)) == (0.4439, 0.9748)  # Clopper & Pearson's interval for 8 of 10


def test_newcombe_agrees_with_his_paper() -> None:
    # Newcombe 1998 (paired), table III: a = 36, b = 12, c = 2, d = 0, method 10: 0.0569 to 0.3404
    ours = evidence(*[True] * 36, *[True] * 12, *[False] * 2)
    theirs = evidence(*[True] * 36, *[False] * 12, *[True] * 2)
    delta, low, high = TASK.difference(ours, theirs)
    assert (round(delta, 4), round(low, 4), round(high, 4)) == (0.2, 0.0569, 0.3404)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_difference_mirrors_and_holds_its_estimate(pairs: list[tuple[bool, bool]]) -> None:
    ours, theirs = (evidence(*column) for column in zip(*pairs, strict=True))
    delta, low, high = TASK.difference(ours, theirs)
    mirrored = TASK.difference(theirs, ours)
    assert low - 1e-12 <= delta <= high + 1e-12
    assert mirrored == pytest.approx((-delta, -high, -low))


def test_no_changed_sample_is_still_not_certainty() -> None:
    same = evidence(*[True] * 90, *[False] * 10)
    delta, low, high = TASK.difference(same, same)
    assert delta == 0
    assert low < 0 < high


def test_more_samples_are_surer() -> None:
    widths = []
    for n in (100, 10_000):
        ours, theirs = evidence(*[True] * (n * 9 // 10), *[False] * (n // 10)), evidence(*[True] * n)
        _, low, high = TASK.difference(ours, theirs)
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_lies_between_0_and_1_around_the_proportion(case: tuple[int, int]) -> None:
    successes, n = case
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n + 1e-12
    assert successes / n - 1e-12 <= high <= 1
