"""The comparison with MiniSom is fair: one judge, one start, and the better of the others is the one to meet."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.data.digits import Digits
from models.som import SOM
from pipeline.bench import som


def test_the_better_of_the_others_counts():
    assert som.ratio({"edgepress": [4.0, 6.0], "weak": [9.0, 11.0], "strong": [3.0, 5.0]}) == pytest.approx(5 / 4)


def test_minisoms_map_is_judged_as_minisom_does():
    from minisom import MiniSom

    data, family = Digits().load(Path()), SOM(rows=4, columns=5)
    evidence = som.theirs(data, family, 1, 3, 1.0)
    samples, test = (data.batch(split, slice(None))["image"].reshape(-1, 64) for split in ("train", "test"))
    other = MiniSom(4, 5, 64, sigma=1.0, random_seed=3)
    other.random_weights_init(samples)
    other.train(samples, len(samples), random_order=True)
    assert evidence["distance"].mean() == pytest.approx(other.quantization_error(test))
    assert evidence["apart"].mean() == pytest.approx(other.topographic_error(test))


def test_ours_learns_in_the_same_units():
    data, family = Digits().load(Path()), SOM(rows=4, columns=5)
    evidence = som.ours(data, family, replace(family.presets["quick"], epochs=1), 0)
    spread = data.batch("test", slice(None))["image"].reshape(-1, 64)
    assert evidence["distance"].mean() < 0.75 * np.linalg.norm(spread - spread.mean(0), axis=1).mean()
