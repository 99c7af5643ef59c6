"""One loss trains both sides of a game, and a generator that makes one picture alone is found out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models import _adversary
from pipeline.errors import UserError

REAL = torch.rand(16, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def test_what_the_critic_descends_the_generator_climbs() -> None:
    torch.manual_seed(0)
    critic, made = nn.Sequential(nn.Flatten(), nn.Linear(36, 1)), REAL.clone().requires_grad_()
    _adversary.judged(critic, REAL, made, weight=2.0, penalty=0.0).backward()
    assert made.grad is not None
    torch.testing.assert_close(made.grad, -2 / 16 * critic[1].weight.detach().reshape(1, 1, 6, 6).expand_as(REAL))


@pytest.mark.parametrize(("slope", "penalty"), [(1.0, 0.0), (3.0, 4.0), (0.0, 1.0)])
def test_a_slope_other_than_one_costs_the_square_of_what_is_too_much(slope: float, penalty: float) -> None:
    def critic(pictures: torch.Tensor) -> torch.Tensor:
        return slope * pictures[:, 0, 0, 0]

    still = _adversary.judged(critic, REAL, REAL, weight=1.0, penalty=0.5)
    assert float(still) == pytest.approx(penalty / 2, abs=1e-6)


SAME = REAL[:1].expand_as(REAL) + 0.001 * REAL


def test_one_picture_for_all_noise_is_refused() -> None:
    variety = _adversary.Variety()
    variety.done = 0.25
    for _ in range(_adversary.STEPS - 1):
        variety.see(SAME, REAL)
    with pytest.raises(
        UserError, match=r"^training: mode collapse after 25 % of it: for 20 steps .* now by 0.00028 a pixel where .* 0.28"
    ):
        variety.see(SAME, REAL)


@pytest.mark.parametrize(("made", "between", "done"), [(SAME, REAL, 0.5), (0.1 * REAL, SAME, 0.5), (SAME, SAME, 0.09)])
def test_what_finds_back_what_varies_little_and_what_has_hardly_begun_is_no_collapse(
    made: torch.Tensor, between: torch.Tensor, done: float
) -> None:
    variety = _adversary.Variety()
    variety.done = done
    for step in range(3 * _adversary.STEPS):
        variety.see(made if step % 10 else between, REAL)
    assert (variety.alike >= _adversary.STEPS) == (done < _adversary.WATCHED), "it was alike for long only where that is allowed"
