"""The watch over gradients minds what lasts, and nothing else."""

from __future__ import annotations

import pytest

from pipeline.errors import UserError
from pipeline.stability import BEFORE, STEPS, Watch


def calm(steps: int = 2 * BEFORE) -> Watch:
    watch = Watch()
    for step in range(steps):
        watch.see(1.0 + step % 3, "here")
    return watch


def test_a_single_hard_batch_is_no_explosion() -> None:
    watch = calm()
    for _ in range(50):
        for _ in range(STEPS - 1):
            watch.see(1e6, "here")
        watch.see(1.0, "here")
    assert watch.usual < 3, "what was far too large is not what is usual"


def test_what_lasts_is_one() -> None:
    watch = calm()
    with pytest.raises(UserError, match=r"the gradient explodes at epoch 3, step 4: its norm is 1e\+06"):
        for _ in range(STEPS):
            watch.see(1e6, "epoch 3, step 4")


def test_a_gradient_that_begins_small_may_grow() -> None:
    watch, norm = Watch(), 1e-6
    for _ in range(2000):
        watch.see(norm, "here")
        norm *= 1.02
    assert norm > 1


def test_what_was_nothing_may_become_something() -> None:
    watch = Watch()
    for step in range(4 * BEFORE):
        watch.see(1e-3 if step > 2 * BEFORE else 0.0, "here")
    assert watch.usual > 0 == watch.above, "what came of nothing is usual by now"


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_no_number_stops_at_once(norm: float) -> None:
    with pytest.raises(UserError, match=rf"norm is {norm} at here"):
        Watch().see(norm, "here")
