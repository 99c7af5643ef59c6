"""How far a student is from its teacher: one number, 0 where they agree."""

from __future__ import annotations

import torch
from torch.nn import functional

SMALLEST = 1e-12
"""Attention below it counts as it: the logarithm of 0 is none."""


def soft(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Logits [..., classes]: T^2 KL(softmax(teacher / T) || softmax(student / T)) in nats (Hinton, Vinyals & Dean 2015).

    T^2 keeps the gradient as large as that of the labels. Of a sequence each place counts as a sample.
    """
    ours, theirs = ((each / temperature).flatten(0, -2).log_softmax(dim=-1) for each in (student, teacher))
    return temperature**2 * functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def squared(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """The mean squared error of two tensors of one shape."""
    return functional.mse_loss(student, teacher)


def attended(features: torch.Tensor) -> torch.Tensor:
    """Where a feature map [N, H, W, C] is strong: the sum of its squared channels, [N, H * W] of length 1.

    Zagoruyko & Komodakis 2017, arXiv:1612.03928.
    """
    return functional.normalize(features.square().sum(dim=-1).flatten(1), dim=1)


def transfer(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """`attended` maps [N, H * W]: their squared distance, from 0 to 2, as the mean over the samples."""
    return (student - teacher).square().sum(dim=1).mean()


def divergence(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Attention [..., T, S]: KL(teacher || student) in nats, the mean over samples, heads and places T (Wang et al. 2020)."""
    ours, theirs = (each.clamp(min=SMALLEST).log() for each in (student, teacher))
    return (teacher * (theirs - ours)).sum(dim=-1).mean()
