"""Evidence is gathered over the whole split, in pieces, one sample at a time where a file has batch 1."""

from __future__ import annotations

from collections import Counter

import numpy as np

from models.tasks.classification import Classification
from pipeline import evaluate
from pipeline.core import Dataset
from pipeline.evaluate import collect, observed, one_by_one
from pipeline.quality import _verdict, quality, versus_reference

TASK = Classification("classifier")


def oracle(data: Dataset, wrong: int) -> dict:
    """Knows the first pixel's label by heart, except for so many samples."""
    known = {image.tobytes(): label for image, label in zip(*data.splits["test"].values(), strict=True)}
    calls: list[int] = []

    def predict(inputs: dict) -> dict:
        calls.append(len(inputs["image"]))
        assert len(inputs["image"]) == 1
        label = known[inputs["image"][0].tobytes()]
        return {"logits": np.eye(10)[[(label + (len(calls) <= wrong)) % 10]]}

    return {"classifier": one_by_one(predict)}


def test_the_whole_split_is_judged_in_pieces(blobs: Dataset, monkeypatch) -> None:
    monkeypatch.setattr(evaluate, "CHUNK", 64)
    seen: list[float] = []
    evidence = collect(TASK, oracle(blobs, wrong=7), blobs, "test", progress=lambda done, total, what="": seen.append(done))
    assert TASK.value(evidence) == (200 - 7) / 200
    assert seen == [64, 128, 192, 200]


def test_a_limit_takes_the_first_samples(blobs: Dataset) -> None:
    assert len(collect(TASK, oracle(blobs, wrong=0), blobs, "test", limit=30)["correct"]) == 30


def test_quality_and_what_a_compression_did_to_it(blobs: Dataset) -> None:
    good = collect(TASK, oracle(blobs, wrong=0), blobs, "test")
    bad = collect(TASK, oracle(blobs, wrong=60), blobs, "test")
    found = quality(TASK, good)
    assert (found.metric, found.value, found.high, found.n) == ("accuracy", 1.0, 1.0, 200)
    assert found.low > 0.98
    assert versus_reference(TASK, bad, good).verdict == "worse"
    assert versus_reference(TASK, good, bad).verdict == "better"
    assert round(versus_reference(TASK, good, bad).delta, 9) == 0.3


class Steps:
    """A judge whose loop asks one graph once a sample and another three times, with what the call before returned."""

    def collect(self, predictors: dict, samples: dict) -> dict:
        state = predictors["first"](samples)["state"]
        for _ in range(3):
            state = predictors["step"]({"state": state})["state"]
        return {"state": state}


def test_what_the_graphs_are_asked_is_drawn_from_the_whole_loop() -> None:
    predictors = {"first": lambda inputs: {"state": inputs["x"] * 10}, "step": lambda inputs: {"state": inputs["state"] + 1}}
    samples = {"x": np.arange(5.0)[:, None], "label": np.zeros(5)}
    names = {"first": ["x"], "step": ["state"]}
    every = observed(Steps(), predictors, samples, names, count=100, seed=0)
    assert [arrays["x"].tolist() for arrays in every["first"]] == [[[float(x)]] for x in range(5)]
    assert [float(arrays["state"][0, 0]) for arrays in every["step"]] == [10 * x + call for call in range(3) for x in range(5)]
    few = [observed(Steps(), predictors, samples, names, count=4, seed=seed) for seed in range(40)]
    assert {len(found["step"]) for found in few} == {4} and {len(found["first"]) for found in few} == {4}
    drawn = Counter(float(arrays["state"][0, 0]) % 10 for found in few for arrays in found["step"])
    assert min(drawn[call] for call in range(3)) > 30, "of 160 draws a third each"


def test_verdicts() -> None:
    assert _verdict(-0.02, -0.001, 0.005) == "worse"  # a small loss that is sure is still a loss
    assert _verdict(-0.004, 0.004, 0.005) == "equivalent"
    assert _verdict(-0.02, 0.004, 0.005) == "inconclusive"
    assert _verdict(0.001, 0.02, 0.005) == "better"
