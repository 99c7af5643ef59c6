"""Vectors that stand for all others near them, and what keeps each of them in use."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

MEMORY = 0.99
"""Of how often a code was taken: after a hundred steps a third of it is left."""
IDLE = 0.03
"""A code taken less often than this part of its fair share is moved; one that is never taken, after 349 steps."""


class Codebook(nn.Module):
    """Vectors e [codes, dimension]; how often each was taken of late, as a part of its fair share; and vectors of late."""

    used: torch.Tensor
    recent: torch.Tensor

    def __init__(self, codes: int, dimension: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(codes, dimension)
        self.register_buffer("used", torch.ones(codes))
        self.register_buffer("recent", torch.randn(codes, dimension))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes int64 [N, h, w] -> vectors [N, dimension, h, w]."""
        found: torch.Tensor = self.vectors(codes).permute(0, 3, 1, 2)
        return found

    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors z [N, dimension, h, w] -> codes int64 [N, h, w]."""
        # The nearest has the largest e.z - ||e||^2 / 2, for ||z - e||^2 = ||z||^2 - 2 (e.z - ||e||^2 / 2).
        weight = self.vectors.weight
        return functional.conv2d(vectors, weight[:, :, None, None], -0.5 * weight.square().sum(1)).argmax(1)

    @torch.no_grad()
    def count(self, codes: torch.Tensor) -> None:
        """Takes note of codes taken."""
        shares = torch.bincount(codes.flatten(), minlength=len(self.used)) * (len(self.used) / codes.numel())
        self.used.lerp_(shares.to(self.used), 1 - MEMORY)

    @torch.no_grad()
    def remember(self, vectors: torch.Tensor) -> None:
        """Keeps as many vectors as there are codes, drawn of these [N, dimension, h, w]."""
        flat = vectors.permute(0, 2, 3, 1).flatten(0, 2)
        self.recent.copy_(flat[torch.randint(len(flat), (len(self.recent),), device=flat.device)])

    def idle(self) -> torch.Tensor:
        """Which codes are hardly taken: bool [codes]."""
        return self.used < IDLE

    @torch.no_grad()
    def move(self, which: torch.Tensor) -> None:
        """These codes become vectors of late, and count as fairly used."""
        # Chosen by arithmetic, not by an `if`: on an accelerator nobody waits for an answer.
        self.vectors.weight.copy_(torch.where(which[:, None], self.recent, self.vectors.weight))
        self.used.copy_(torch.where(which, 1.0, self.used))
