"""Watches a training's gradients: one that explodes is stopped, with a line that says what was seen."""

from __future__ import annotations

from math import isfinite

from pipeline.errors import UserError

TIMES = 100.0
"""So much larger than usual is an explosion."""
STEPS = 20
"""One after the other: a single hard batch is none, and clipping takes care of it."""
BEFORE = 100
"""Steps from which on it is known what is usual."""
SHARE = 0.02
"""Of a step in what is usual: half of it is younger than 35 steps."""


class Watch:
    """Of one training: the usual norm of its gradients, an exponential mean of those that were no explosion."""

    def __init__(self) -> None:
        self.usual = 0.0
        self.steps = self.above = 0

    def see(self, norm: float, where: str) -> None:
        """The norm of one step's gradient, before it is clipped. UserError when it explodes."""
        if not isfinite(norm):
            raise UserError(f"training: the gradient's norm is {norm} at {where}; lower the learning rate")
        self.steps += 1
        if self.steps > BEFORE and norm > TIMES * self.usual > 0:
            self.above += 1
            if self.above == STEPS:
                raise UserError(
                    f"training: the gradient explodes at {where}: its norm is {norm:.3g}, for {STEPS} steps "
                    f"more than {TIMES:.0f} times the usual {self.usual:.3g}; lower the learning rate"
                )
            return
        self.above = 0
        self.usual += max(SHARE, 1 / self.steps) * (norm - self.usual)
