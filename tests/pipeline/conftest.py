"""A small data set, a small model, and a context to train it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import facts, train
from pipeline.core import Context, Dataset, Domain, Model, Spec, Technique, TensorSpec, Train


@pytest.fixture(scope="session")
def blobs() -> Dataset:
    """Ten classes of noisy 8x8 patterns: learnable in a second, and not perfectly."""
    draw = np.random.default_rng(0)
    patterns = draw.normal(size=(10, 1, 8, 8))

    def split(n: int) -> dict[str, np.ndarray]:
        label = np.arange(n) % 10
        image = patterns[label] + 0.8 * draw.normal(size=(n, 1, 8, 8))
        return {"image": image.astype(np.float32), "label": label.astype(np.int64)}

    domain = Domain("blobs", {"image": TensorSpec((1, 1, 8, 8))}, 10)
    return Dataset(domain, {"train": split(640), "validation": split(200), "test": split(200)}, "0" * 64)


@pytest.fixture
def untrained(blobs: Dataset) -> Callable[..., Model]:
    """A family's fresh module as a Model; always the same for the same seed."""

    def build(name: str = "mlp", seed: int = 0, **options: object) -> Model:
        spec = Spec("model", name, dict(options))
        torch.manual_seed(seed)
        family = spec.build()
        module = family.build(blobs.domain)
        return Model(spec, blobs.domain, module, facts.measure(family.graphs(module, blobs.domain)))

    return build


@pytest.fixture
def context(blobs: Dataset, untrained: Callable[..., Model], tmp_path: Path) -> Context:
    return Context(blobs, Train(epochs=2, batch=32), untrained(), 0, tmp_path, lambda *_: None)


@pytest.fixture
def goes_on(
    untrained: Callable[..., Model], context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[float]]:
    """Kills a technique's step in the middle and does it again: as if nothing had been. How far the second time said it was."""
    monkeypatch.setattr(train, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    def check(step: Technique, after: float = 1.4) -> list[float]:
        def kill(done: float, total: float, what: str = "") -> None:
            if done > after:
                raise KeyboardInterrupt

        seen: list[float] = []
        whole = step.apply(untrained(), replace(context, scratch=tmp_path / "whole"))
        broken = replace(context, scratch=tmp_path / "broken")
        with pytest.raises(KeyboardInterrupt):
            step.apply(untrained(), replace(broken, progress=kill))
        resumed = step.apply(untrained(), replace(broken, progress=lambda done, total, what="": seen.append(done)))
        assert all(torch.equal(a, b) for a, b in zip(resumed.module.parameters(), whole.module.parameters(), strict=True))
        return seen

    return check
