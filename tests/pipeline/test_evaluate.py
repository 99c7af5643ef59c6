"""Evidence is gathered over the whole split, in pieces, one sample at a time where a file has batch 1."""

from __future__ import annotations

import numpy as np

from models.tasks.classification import Classification
from pipeline import evaluate
from pipeline.core import Dataset
from pipeline.evaluate import collect, one_by_one
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


def test_verdicts() -> None:
    assert _verdict(-0.02, -0.001, 0.005) == "worse"  # a small loss that is sure is still a loss
    assert _verdict(-0.004, 0.004, 0.005) == "equivalent"
    assert _verdict(-0.02, 0.004, 0.005) == "inconclusive"
    assert _verdict(0.001, 0.02, 0.005) == "better"
