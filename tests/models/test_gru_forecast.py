"""The forecaster follows the level of its history, treats variables alike, and says when patches do not fit."""

from __future__ import annotations

import pytest
import torch

from models.gru_forecast import GRUForecast
from pipeline.core import Domain, TensorSpec
from pipeline.errors import UserError

DOMAIN = Domain("hours", {"history": TensorSpec((1, 48, 3))}, targets={"future": TensorSpec((1, 6, 3))})


@pytest.fixture
def module() -> torch.nn.Module:
    torch.manual_seed(0)
    return GRUForecast(hidden=8).build(DOMAIN).eval()


def test_a_new_level_moves_the_forecast_and_nothing_else(module: torch.nn.Module) -> None:
    history, level = torch.randn(4, 48, 3), torch.tensor([5.0, -3.0, 100.0])
    torch.testing.assert_close(module(history + level), module(history) + level, atol=1e-4, rtol=0)


def test_variables_do_not_mix(module: torch.nn.Module) -> None:
    history = torch.randn(2, 48, 3)
    changed = history.clone()
    changed[:, :, 1] += torch.randn(48)
    same = (module(history) - module(changed)).abs().amax((0, 1)) == 0
    assert same.tolist() == [True, False, True]
    torch.testing.assert_close(module(history.flip(2)), module(history).flip(2))  # nor does their order count


def test_it_learns_a_wave() -> None:
    torch.manual_seed(0)
    family = GRUForecast(hidden=16, dropout=0)
    module = family.build(DOMAIN)
    hour = torch.rand(64, 1, 3) * 24 + torch.arange(54)[:, None]
    wave = (2 * torch.pi * hour / 24).sin() + torch.randn(64, 1, 3)
    batch = {"history": wave[:, :48], "future": wave[:, 48:]}
    optimizer = torch.optim.AdamW(module.parameters(), 1e-2)
    for _ in range(60):
        loss = family.loss(family.forward(module, batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05  # the wave's own variance is 0.5


def test_patches_must_divide_the_history() -> None:
    with pytest.raises(UserError, match="patch = 7 hours does not divide the history of 48 hours"):
        GRUForecast(patch=7).build(DOMAIN)
