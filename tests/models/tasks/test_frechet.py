"""The Fréchet distance is that of its definition, and its doubt covers what another draw would give."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from models.tasks import _frechet
from models.tasks._mean import half
from pipeline.core import Array


def cloud(seed: int, n: int = 500, moved: float = 0.0, wide: float = 1.0) -> Array:
    random = np.random.default_rng(seed)
    mixed = np.random.default_rng(99).standard_normal((5, 5))
    found: Array = moved + wide * random.standard_normal((n, 5)) @ mixed
    return found


def test_it_is_what_its_formula_says() -> None:
    made, real = cloud(0, moved=0.3), cloud(1, wide=1.4)
    first, second = (np.cov(each, rowvar=False, bias=True) for each in (made, real))
    expected = np.square(made.mean(0) - real.mean(0)).sum() + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert _frechet.frechet(made, real) == pytest.approx(expected, rel=1e-6)
    assert _frechet.frechet(real, real) == pytest.approx(0, abs=1e-6)


def test_its_influence_is_its_derivative() -> None:
    made, real = cloud(0, moved=0.3), cloud(1, wide=1.4)
    parts = _frechet.influence(made, real)
    for which, part in enumerate(parts):
        assert part.mean() == pytest.approx(0, abs=1e-8)
        doubled = [made, real]
        doubled[which] = np.concatenate([doubled[which], doubled[which][:1]])  # the first one counts a little more
        step = (_frechet.frechet(*doubled) - _frechet.frechet(made, real)) * (len(made) + 1)
        assert step == pytest.approx(part[0], rel=0.05, abs=0.05)


def test_its_interval_holds_the_distance_of_the_whole_in_most_draws() -> None:
    whole = _frechet.frechet(cloud(100, 200_000, moved=0.5, wide=1.2), cloud(101, 200_000))
    held = 0
    for seed in range(60):
        made, real = cloud(2 * seed, 800, moved=0.5, wide=1.2), cloud(2 * seed + 1, 800)
        held += abs(_frechet.frechet(made, real) - whole) <= half(sum(_frechet.influence(made, real)))
    assert held >= 50


@pytest.mark.parametrize("rows", [1, 2, 3, 6])
def test_few_rows_are_no_error(rows: int) -> None:
    made, real = cloud(0, rows), cloud(1, rows)
    assert np.isfinite(_frechet.frechet(made, real))
    assert all(np.isfinite(part).all() for part in _frechet.influence(made, real))
    assert all(len(part) == rows for part in _frechet.coverage(made, real))


def test_precision_falls_with_what_is_foreign_and_recall_with_what_is_missing() -> None:
    real = np.concatenate([cloud(0), cloud(1, moved=30.0)])
    among, covered = _frechet.coverage(cloud(2), real)
    assert among.mean() > 0.9 and 0.3 < covered.mean() < 0.6
    among, covered = _frechet.coverage(np.concatenate([cloud(2), cloud(3, moved=-30.0)]), real[:500])
    assert 0.3 < among.mean() < 0.6 and covered.mean() > 0.9
