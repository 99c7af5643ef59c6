"""Low-rank adaptation: an update changes nothing before it is trained, is all that is trained, and merges exactly."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline import model_file
from pipeline.compress import _adapter as adapters
from pipeline.compress.lora import Lora
from pipeline.compress.low_rank import LowRank
from pipeline.core import Context, Domain, Model, Outlook, TensorSpec, Unsupported
from pipeline.errors import UserError
from pipeline.evaluate import module_predictor

Build = Callable[..., Model]
NETS = ("mlp", "lenet5", "gru_classifier")


def answers(module: nn.Module, seed: int = 0) -> torch.Tensor:
    image = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        found: torch.Tensor = module.eval()(image)
        return found


def drawn(module: nn.Module, seed: int = 0) -> None:
    """Fills every part of the updates with numbers as large as those of weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, _, update in adapters.updates(module):
            for part in update.parameters():
                part.copy_(0.2 * torch.randn(part.shape, generator=generator))


def attached(module: nn.Module, rank: int = 2, scale: float = 2.0, magnitudes: bool = False) -> nn.Module:
    adapters.attach(module, adapters.adaptable(module), rank, scale, magnitudes)
    return module


@settings(max_examples=30)
@given(st.sampled_from([(7, 5), (4, 3, 3, 2), (1, 6), (6, 1)]), st.integers(1, 9), st.booleans(), st.integers(0, 99))
def test_the_update_is_that_of_the_papers(shape: tuple[int, ...], rank: int, magnitudes: bool, seed: int) -> None:
    torch.manual_seed(seed)
    weight = torch.randn(shape)
    update = adapters.Update(weight, rank, 1.5, magnitudes)
    for part in update.parameters():
        nn.init.normal_(part)
    found = update(weight).detach().numpy()
    w, a, b = (each.detach().double().numpy() for each in (weight.flatten(1), update.a, update.b))
    expected = w + 1.5 * b @ a
    if magnitudes:
        length = np.linalg.norm(w, axis=1) + update.magnitude.detach().double().numpy()
        expected = length[:, None] * expected / np.linalg.norm(expected, axis=1)[:, None]
    np.testing.assert_allclose(found.reshape(w.shape), expected, rtol=1e-4, atol=1e-4)
    assert len(a) == min(rank, *w.shape)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("magnitudes", [False, True])
def test_before_training_nothing_is_changed(untrained: Build, name: str, magnitudes: bool) -> None:
    module = untrained(name).module
    before = answers(module)
    adapters.begin(attached(module, magnitudes=magnitudes), seed=0)
    assert all(update.a.abs().min() > 0 for _, _, update in adapters.updates(module))
    torch.testing.assert_close(answers(module), before, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("magnitudes", [False, True])
def test_a_merge_is_exact_and_leaves_plain_weights(untrained: Build, name: str, magnitudes: bool) -> None:
    module = untrained(name).module
    names, before = set(module.state_dict()), answers(module)
    drawn(attached(module, magnitudes=magnitudes))
    apart = answers(module)
    assert (apart - before).abs().max() > 0.1
    adapters.merge(module)
    assert set(module.state_dict()) == names
    torch.testing.assert_close(answers(module), apart, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("method", ["lora", "dora"])
def test_only_the_adapter_is_trained_and_its_share_is_noted(untrained: Build, context: Context, name: str, method: str) -> None:
    model = untrained(name)
    adapted = Lora(method=method, rank=1, merged=False, epochs=1).apply(model, context)
    after = adapted.module.state_dict()
    for key, value in model.module.state_dict().items():
        layer, _, weight = key.rpartition(".")
        found = after.get(key, after.get(f"{layer}.parametrizations.{weight}.original"))
        assert found is not None and torch.equal(found, value), key
    kept = {key: after[key] for key in adapted.adapter}
    assert all(key.rsplit(".", 1)[1] in ("a", "b", "magnitude") for key in kept)
    assert all(value.abs().max() > 0 for value in kept.values())
    count = sum(value.numel() for value in kept.values())
    assert adapted.history[-1] == {"trained": count, "share": count / model.facts.parameters}
    assert adapted.facts == model.facts and all(each.requires_grad for each in adapted.module.parameters())


def test_biases_are_trained_where_that_is_said(untrained: Build, context: Context) -> None:
    model = untrained()
    tuned = Lora(rank=2, biases=True, epochs=1, targets=("3",)).apply(model, context)
    changed = {key for key, value in tuned.module.state_dict().items() if not torch.equal(value, model.module.state_dict()[key])}
    assert changed == {"1.bias", "3.bias", "5.bias", "3.weight"}
    assert tuned.history[-1]["trained"] == 300 + 100 + 10 + 2 * (300 + 100)
    with pytest.raises(UserError, match=r"biases = true changes the base, which merged = false leaves as it is"):
        Lora(biases=True, merged=False)


def test_the_statistics_of_normalizations_stay_those_of_the_base(untrained: Build, context: Context) -> None:
    model = untrained("resnet8")
    tuned = Lora(rank=1, epochs=1, targets=("*.0",)).apply(model, context)
    buffers = dict(tuned.module.named_buffers())
    assert any("running_mean" in name for name in buffers)
    assert all(torch.equal(each, buffers[name]) for name, each in model.module.named_buffers())


@pytest.mark.parametrize("normalizations", [True, False])
def test_nothing_is_dropped_while_an_adapter_learns(normalizations: bool) -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.BatchNorm1d(2)).train()
    adapters.still(module, 0.0, normalizations)
    assert [layer.training for layer in module] == [True, False, not normalizations]


@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize("name", NETS)
def test_an_adapter_comes_back_from_disk_behind_factors_too(
    untrained: Build, context: Context, tmp_path: Path, name: str, method: str
) -> None:
    thin = LowRank(energy=0.8, epochs=0).apply(untrained(name), context)
    adapted = Lora(method=method, merged=False, epochs=1).apply(thin, replace(context, scratch=tmp_path / "b"))
    model_file.save(adapted, tmp_path / "saved")
    loaded = model_file.load(tmp_path / "saved")
    assert torch.equal(answers(loaded.module), answers(adapted.module))
    assert loaded.adapter == adapted.adapter


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (("1", "33"), "lora: targets: unknown layer '33'; did you mean '3'? (allowed: 1, 3, 5)"),
        (("x*",), "lora: targets: unknown layer 'x*'; (allowed: 1, 3, 5)"),
    ],
)
def test_targets_that_no_layer_has_are_refused(untrained: Build, targets: tuple[str, ...], words: str) -> None:
    model = untrained()
    outlook = Outlook(model.family, {}, lambda: model.domain)
    with pytest.raises(UserError) as refused:
        Lora(targets=targets).check(outlook)
    assert str(refused.value) == words
    Lora(targets=("[13]", "5")).check(outlook)


def test_weights_that_two_layers_share_are_left_alone() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    assert adapters.adaptable(nn.Sequential(first, second, nn.Linear(4, 2))) == {"2": ["weight"]}
    with pytest.raises(Unsupported, match="no linear, convolutional or recurrent layer and no embedding"):
        Lora()._chosen(nn.Sequential(nn.ReLU()))


def test_a_killed_adaptation_goes_on(goes_on: Callable[[Lora], list[float]]) -> None:
    assert min(goes_on(Lora(epochs=3, rank=2))) >= 1


def test_adaptation_learns_what_the_base_did_not(untrained: Build, context: Context, tmp_path: Path) -> None:
    model = untrained()
    tuned = Lora(method="dora", rank=4, epochs=4).apply(model, replace(context, scratch=tmp_path / "a"))
    image, label = (torch.from_numpy(context.data.splits["test"][name]) for name in ("image", "label"))
    before, after = ((each.module.eval()(image).argmax(1) == label).float().mean() for each in (model, tuned))
    assert after > before + 0.3


def test_a_copy_of_the_module_is_the_same(untrained: Build) -> None:
    module = attached(untrained("lenet5").module, magnitudes=True)
    drawn(module)
    assert torch.equal(answers(copy.deepcopy(module)), answers(module))
    domain = Domain("d", {"image": TensorSpec((1, 1, 8, 8))}, 10)
    graph = untrained("lenet5").family.build().graphs(module, domain)["classifier"]
    assert module_predictor(graph)({"image": np.zeros((1, 1, 8, 8), np.float32)})["logits"].shape == (1, 10)
