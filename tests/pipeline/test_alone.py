"""A model trained outside of a recipe is the same for the same seed, and whoever asks for one keeps the random state."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.alone import asked, trained
from pipeline.core import Dataset, Spec, Train

SPEC, OPTIONS = Spec("model", "mlp", {"hidden": (32,)}), Train(epochs=8, batch=32)


def test_a_seed_makes_one_model_and_takes_nothing_from_the_caller(blobs: Dataset) -> None:
    before = torch.get_rng_state()
    first, again, other = (trained(SPEC, blobs, OPTIONS, seed).module.state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_so_many_of_the_first_test_samples_are_asked(blobs: Dataset) -> None:
    model = trained(SPEC, blobs, OPTIONS, 0)
    whole, few = asked(model, blobs), asked(model, blobs, samples=7)
    assert all(len(rows) == blobs.size("test") for rows in whole.values())
    assert all(np.array_equal(few[name], rows[:7]) for name, rows in whole.items())
    assert model.family.build().task(blobs.domain).value(whole) > 0.5, "it has learned"
