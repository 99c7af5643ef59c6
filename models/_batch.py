"""What a training batch holds besides its labels."""

from __future__ import annotations

from collections.abc import Mapping

import torch

LABELS = ("label", "kind")


def only_input(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The one tensor that is no label."""
    (given,) = (tensor for name, tensor in batch.items() if name not in LABELS)
    return given
