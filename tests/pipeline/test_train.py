"""The training loop: the same seed gives the same weights, a kill costs nothing but time, nonsense stops at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline import train
from pipeline.core import Context, Model, Train
from pipeline.errors import UserError

Build = Callable[..., Model]


def weights(model: Model) -> torch.Tensor:
    return torch.cat([value.flatten() for value in model.module.state_dict().values()])


def fit(model: Model, context: Context, options: Train) -> dict:
    return train.fit(model.module, model.family.build(), options, context)


def test_it_learns(untrained: Build, context: Context) -> None:
    found = fit(untrained(), context, Train(epochs=6, batch=32))
    assert found["accuracy"] > 0.9
    assert found["epochs"] == 6


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("name", ["mlp", "lenet5", "gru_classifier"])
def test_the_same_seed_gives_the_same_weights(untrained: Build, context: Context, name: str, optimizer: str) -> None:
    options = Train(epochs=1, batch=64, optimizer=optimizer)
    first, second, other = untrained(name), untrained(name), untrained(name)
    fit(first, context, options)
    fit(second, replace(context, scratch=context.scratch / "second"), options)
    fit(other, replace(context, scratch=context.scratch / "other", seed=1), options)
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


class Killed(BaseException):
    """Stands for the end of the process: nothing in the loop may catch it."""


@pytest.mark.parametrize("name", ["mlp", "lenet5"])
@pytest.mark.parametrize("patience", [None, 3])
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    untrained: Build, context: Context, monkeypatch: pytest.MonkeyPatch, name: str, patience: int | None
) -> None:
    monkeypatch.setattr(train, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    options = Train(epochs=5, batch=64, patience=patience)
    whole, broken = untrained(name), untrained(name)
    fit(whole, replace(context, scratch=context.scratch / "whole"), options)

    def kill(done: float, total: float, what: str = "") -> None:
        if done >= 3:
            raise Killed

    with pytest.raises(Killed):
        fit(broken, replace(context, progress=kill), options)
    resumed, seen = untrained(name, seed=99), []
    fit(resumed, replace(context, progress=lambda done, total, what="": seen.append(done)), options)
    assert min(seen) >= 3  # the epochs before the kill are not trained again
    assert torch.equal(weights(resumed), weights(whole))


def test_a_damaged_checkpoint_costs_time_and_not_the_run(untrained: Build, context: Context) -> None:
    (context.scratch / "checkpoint.safetensors").write_bytes(b"half a checkpoint")
    assert fit(untrained(), context, Train(epochs=1))["epochs"] == 1


def test_early_stopping_keeps_the_best_epoch(untrained: Build, context: Context) -> None:
    # Without weight decay or noise a rate this large ruins the network after a good start.
    found = fit(untrained(), context, Train(epochs=40, batch=32, learning_rate=0.05, schedule="constant", warmup=0.3, patience=2))
    assert found["epochs"] < 40
    assert found["accuracy"] > 0.5


def test_a_loss_that_is_no_number_stops_with_one_line(untrained: Build, context: Context) -> None:
    with pytest.raises(UserError, match=r"(loss|gradient's norm) is (nan|inf) at epoch \d+, step \d+; lower the learning rate"):
        fit(untrained(), context, Train(epochs=3, learning_rate=1e30, clip=None, warmup=0.0))


def test_a_gradient_that_explodes_stops_the_training(untrained: Build, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss grows ten thousandfold half-way and stays a number: clipped steps would hide it."""

    def loss(module: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        family = model.family.build()
        return family.loss(family.forward(module, batch), batch) * scale[0]

    def pace(module: torch.nn.Module, done: float) -> None:
        scale[0] = 1.0 if done < 0.5 else 1e4

    model, scale = untrained(), [1.0]
    options = Train(epochs=20, batch=32, learning_rate=1e-4)
    monkeypatch.setattr(train, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    for _ in range(2):  # a training that was refused is refused again where it goes on
        with pytest.raises(
            UserError, match=r"the gradient explodes at epoch \d+, step \d+: its norm is .* times the usual .*; lower"
        ):
            train.fit(model.module, model.family.build(), options, context, loss=loss, pace=pace)


def test_augmentation_is_asked_for_and_can_be_left_out(untrained: Build, context: Context) -> None:
    calls = []

    def augment(batch: dict, generator: torch.Generator) -> dict:
        calls.append(float(torch.rand(1, generator=generator)))
        return batch

    data = replace(context.data, augment=augment)
    fit(untrained(), replace(context, data=data), Train(epochs=1, augment=False))
    assert not calls
    fit(untrained(), replace(context, data=data, scratch=context.scratch / "b"), Train(epochs=1))
    assert len(set(calls)) > 1


def test_fewer_samples_when_asked(untrained: Build, context: Context) -> None:
    seen: list[int] = []
    data = replace(context.data, prepare=lambda batch: (seen.append(len(batch["label"])), batch)[1])
    fit(untrained(), replace(context, data=data), Train(epochs=1, batch=32, samples=64, patience=None))
    assert sum(n for n in seen if n == 32) == 64


def test_a_trained_module_has_the_plain_memory_layout(untrained: Build, context: Context) -> None:
    model = untrained("lenet5")
    fit(model, context, Train(epochs=1))
    assert all(parameter.is_contiguous() for parameter in model.module.parameters())
    assert model.module[0].weight.stride() == (25, 25, 5, 1)


def test_progress_reaches_across_several_trainings() -> None:
    seen: list[float] = []
    report = train.part(lambda done, total, what="": seen.append(done / total), before=1, whole=4)
    report(1, 3)
    assert seen == [2 / 4]


def test_tuning_takes_half_of_the_preset_unless_told() -> None:
    assert train.tuning(Train(epochs=9), None, None).epochs == 4
    assert train.tuning(Train(epochs=9), 3, 0.5) == Train(epochs=3, learning_rate=0.5)


def test_checkpoints_hold_no_pickle(untrained: Build, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    fit(untrained(), context, Train(epochs=1))
    files: list[Path] = list(context.scratch.iterdir())
    assert [path.suffix for path in files] == [".safetensors"]
