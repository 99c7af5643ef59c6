"""Full fine-tuning trains everything on, and keeps zeros."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pipeline.compress.finetune import Finetune
from pipeline.core import Context, Model


def test_every_weight_is_trained_and_zeros_stay(untrained: Callable[..., Model], context: Context) -> None:
    model = untrained()
    with torch.no_grad():
        model.module.get_parameter("3.weight")[:, ::2] = 0
    tuned = Finetune(epochs=1).apply(model, context)
    for name, before in model.module.named_parameters():
        after = tuned.module.get_parameter(name)
        assert torch.equal(after == 0, before == 0), name
        assert (after != before)[before != 0].float().mean() > 0.9, name


def test_a_killed_one_goes_on(goes_on: Callable[[Finetune], list[float]]) -> None:
    assert min(goes_on(Finetune(epochs=3))) >= 1
