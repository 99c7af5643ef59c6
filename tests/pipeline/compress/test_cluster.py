"""Weight sharing: few values a tensor, zeros untouched, centroids trained, and a file that travels small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from pipeline import train
from pipeline.compress._weights import zeros
from pipeline.compress.cluster import Cluster, _numbers
from pipeline.compress.prune_unstructured import PruneUnstructured
from pipeline.core import Context, Model, Technique, Train

Build = Callable[..., Model]


def test_every_large_tensor_has_so_many_values_and_keeps_its_zeros(untrained: Build, context: Context, tmp_path: Path) -> None:
    pruned = PruneUnstructured(sparsity=0.8, epochs=1).apply(untrained(), context)
    shared = Cluster(clusters=8, epochs=1).apply(pruned, replace(context, scratch=tmp_path / "cluster"))
    for name, each in shared.module.named_parameters():
        values = each[each != 0].unique()
        assert len(values) <= 8 or each.numel() < 32
        assert torch.equal(values, values.half().float()) or each.numel() < 32, name
    assert zeros(shared.module) == zeros(pruned.module)
    assert shared.module.state_dict().keys() == pruned.module.state_dict().keys()


def test_k_means_finds_groups_that_are_there_and_is_better_than_its_start() -> None:
    torch.manual_seed(0)
    centres = torch.tensor([-2.0, -0.5, 1.0, 3.0])
    truth = torch.arange(400) % 4
    weight = (centres[truth] + 0.05 * torch.randn(400)).view(20, 20)
    weight[0, :3] = 0
    numbers = _numbers(weight, 4).flatten()
    assert not numbers[:3].any()
    assert torch.equal(numbers[3:], truth[3:].short() + 1)
    skewed = torch.randn(2000) ** 3
    evenly = torch.linspace(float(skewed.min()), float(skewed.max()), 8)
    start = (skewed[:, None] - evenly).abs().amin(1).square().sum()
    found = _numbers(skewed, 8)
    means = torch.stack([skewed[found == each].mean() if (found == each).any() else torch.zeros(()) for each in range(9)])
    assert (skewed - means[found.long()]).square().sum() < 0.5 * start


def test_training_the_centroids_recovers_what_sharing_cost(untrained: Build, context: Context, tmp_path: Path) -> None:
    model = untrained()
    family = model.family.build()
    train.fit(model.module, family, Train(epochs=6, batch=32), replace(context, scratch=tmp_path / "a"))

    def loss(step: Cluster, name: str) -> float:
        module = step.apply(model, replace(context, scratch=tmp_path / name)).module
        batch = {key: torch.from_numpy(value) for key, value in context.data.batch("train", slice(None)).items()}
        with torch.no_grad():
            return float(family.loss(family.forward(module, batch), batch))

    assert loss(Cluster(clusters=2, epochs=4), "b") < 0.9 * loss(Cluster(clusters=2, epochs=1, learning_rate=1e-9), "c")


def test_a_killed_step_goes_on_as_if_nothing_had_been(goes_on: Callable[[Technique], list[float]]) -> None:
    assert min(goes_on(Cluster(clusters=4, epochs=3))) >= 1.0
