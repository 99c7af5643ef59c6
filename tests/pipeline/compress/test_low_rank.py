"""Low-rank factorization loses what the table says, shares a budget at one price, and refuses ranks that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline import model_file, train
from pipeline.compress._factors import factorized, table
from pipeline.compress.low_rank import LowRank, _keeping, _paying, _tables, _within
from pipeline.compress.prune_structured import PruneStructured
from pipeline.compress.quantize_static import QuantizeStatic
from pipeline.core import Arrays, Context, Dataset, Model, Outlook, Spec, Train, Unsupported
from pipeline.errors import UserError
from pipeline.evaluate import module_predictor, one_by_one
from pipeline.export._parity import check
from pipeline.registry import find

Build = Callable[..., Model]
RUNTIMES = {"onnx": "onnxruntime", "tflite": "litert", "openvino": "openvino"}

LAYERS: dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    "linear": lambda: (nn.Linear(9, 14), torch.randn(5, 9)),
    "linear without bias": lambda: (nn.Linear(14, 6, bias=False), torch.randn(5, 14)),
    "embedding": lambda: (nn.Embedding(20, 7, padding_idx=0), torch.arange(20)),
    "conv": lambda: (nn.Conv2d(6, 8, 3, padding=1), torch.randn(2, 6, 7, 7)),
    "conv, few inputs": lambda: (nn.Conv2d(1, 12, (3, 2), stride=2, padding=(1, 0)), torch.randn(2, 1, 7, 7)),
    "conv, reflected, dilated": lambda: (
        nn.Conv2d(5, 4, 3, padding=2, dilation=2, padding_mode="reflect", bias=False),
        torch.randn(2, 5, 9, 9),
    ),
    "conv 1x1": lambda: (nn.Conv2d(10, 8, 1, stride=2, padding=1), torch.randn(2, 10, 6, 6)),
}


def made(kind: str, seed: int = 0) -> tuple[Any, torch.Tensor]:
    torch.manual_seed(seed)
    return LAYERS[kind]()


def difference(layer: Any, factors: nn.Module, x: torch.Tensor) -> float:
    with torch.no_grad():
        return float((factors(x) - layer(x)).abs().max())


@pytest.mark.parametrize("kind", LAYERS)
def test_of_full_rank_the_factors_are_the_layer(kind: str) -> None:
    layer, x = made(kind)
    assert difference(layer, factorized(layer, table(layer).parameters.shape), x) < 1e-5  # float32 sums of under 100 terms


@settings(max_examples=40)
@given(st.sampled_from(sorted(LAYERS)), st.integers(0, 1000), st.data())
def test_the_factors_lose_and_cost_what_the_table_says(kind: str, seed: int, data: st.DataObject) -> None:
    layer, x = made(kind, seed)
    costs = table(layer)
    ranks = tuple(data.draw(st.integers(1, most)) for most in costs.parameters.shape)
    factors = factorized(layer, ranks)
    weights = [p for name, p in factors.named_parameters() if name.endswith("weight")]
    assert sum(p.numel() for p in weights) == costs.at(ranks)
    assert factors(x).shape == layer(x).shape
    lost = (_product(factors, layer) - layer.weight.detach()).square().sum() / layer.weight.detach().square().sum()
    assert float(lost) == pytest.approx(costs.lost(ranks), abs=1e-5)


def _product(factors: nn.Module, layer: Any) -> torch.Tensor:
    """The one weight that the factors stand for, out of what they make of unit vectors."""
    with torch.no_grad():
        if isinstance(layer, nn.Embedding):
            table: torch.Tensor = factors(torch.arange(layer.num_embeddings))
            return table
        if isinstance(layer, nn.Linear):
            units = torch.eye(layer.in_features)
            return (factors(units) - factors(torch.zeros_like(units))).T
        rows, columns = layer.kernel_size
        weight = torch.zeros_like(layer.weight)
        for conv in factors:
            conv.stride, conv.padding, conv.dilation, conv.padding_mode = (1, 1), (0, 0), (1, 1), "zeros"
        for i, row, column in np.ndindex(layer.in_channels, rows, columns):
            unit = torch.zeros(1, layer.in_channels, rows, columns)
            unit[0, i, row, column] = 1
            weight[:, i, row, column] = (factors(unit) - factors(torch.zeros_like(unit)))[0, :, 0, 0]
        return weight


def test_the_svd_is_nearer_than_any_other_matrix_of_its_rank() -> None:
    layer, _ = made("linear")
    costs = table(layer)
    torch.manual_seed(1)
    for rank in range(1, 9):
        basis = torch.linalg.qr(torch.randn(9, rank))[0]
        weight = layer.weight.detach()
        lost = (weight @ basis @ basis.T - weight).square().sum() / weight.square().sum()
        assert costs.error[rank - 1] < float(lost)


@settings(max_examples=20)
@given(st.sampled_from(sorted(LAYERS)), st.floats(0.05, 1.0))
def test_the_energy_is_kept_and_no_cheaper_ranks_keep_it(kind: str, energy: float) -> None:
    costs = table(made(kind)[0])
    ranks = _keeping(energy, costs)
    assert costs.lost(ranks) <= 1 - energy + 1e-9
    assert (costs.error[costs.parameters < costs.at(ranks)] > 1 - energy).all()


@settings(max_examples=20)
@given(st.floats(0.3, 0.99), st.integers(0, 100))
def test_a_budget_is_kept_and_used_up(budget: float, seed: int) -> None:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(40, 60), nn.Linear(60, 30), nn.Conv2d(8, 16, 3))
    tables = _tables(module, ["0", "1", "2"])
    whole = sum(each.dense for each in tables.values())
    chosen = _within(budget, whole, tables)
    cost = sum(min(tables[name].at(ranks), tables[name].dense) for name, ranks in chosen.items())
    assert cost <= budget * whole
    assert cost > budget * whole - 100  # a rank more of the first layer


@settings(max_examples=40)
@given(st.sampled_from(["linear", "embedding", "conv 1x1"]), st.floats(-5, -1.5))
def test_ranks_end_where_a_weight_saves_less_than_its_price(kind: str, exponent: float) -> None:
    costs, price = table(made(kind)[0]), 10**exponent
    (rank,) = _paying(price, costs)
    saved = -np.diff(costs.error) / costs.at((1,))  # a weight, by the rank that is added to rank 1, 2, ...
    assert (saved[: rank - 1] >= price).all()
    assert (saved[rank - 1 :] <= price).all()


def test_of_a_kernel_too_a_lower_price_buys_more() -> None:
    costs = table(made("conv")[0])
    bought = [costs.at(_paying(price, costs)) for price in np.geomspace(1e-5, 1e-1, 50)]
    assert bought == sorted(bought, reverse=True)
    assert len(set(bought)) > 3


@pytest.mark.parametrize("name", ["mlp", "lenet5"])
@pytest.mark.parametrize("options", [{"budget": 0.4}, {"energy": 0.6}])
def test_a_factorized_model_comes_back_from_disk_after_pruning_too(
    untrained: Build, context: Context, tmp_path: Path, name: str, options: dict[str, float]
) -> None:
    pruned = PruneStructured(macs=0.7, rounds=1, epochs=1).apply(untrained(name), replace(context, scratch=tmp_path / "a"))
    model = LowRank(**options, epochs=1).apply(pruned, replace(context, scratch=tmp_path / "b"))
    assert model.facts.parameters < pruned.facts.parameters
    if "budget" in options:
        assert model.facts.parameters <= options["budget"] * pruned.facts.parameters
    model_file.save(model, tmp_path / "saved")
    image = torch.randn(3, 1, 8, 8)
    assert torch.equal(model_file.load(tmp_path / "saved").module(image), model.module.eval()(image))


def test_pruned_then_factorized_then_int8_in_every_format(
    untrained: Build, context: Context, blobs: Dataset, tmp_path: Path
) -> None:
    pruned = PruneStructured(macs=0.7, rounds=1, epochs=1).apply(untrained("lenet5"), replace(context, scratch=tmp_path / "a"))
    thin = LowRank(energy=0.7, epochs=1).apply(pruned, replace(context, scratch=tmp_path / "b"))
    int8 = QuantizeStatic(calibration_samples=64).apply(thin, context)
    graph = thin.family.build().graphs(thin.module.eval(), thin.domain)["classifier"]
    samples: list[Arrays] = [{"image": image[None]} for image in blobs.splits["train"]["image"][:64]]
    scale = max(float(np.abs(module_predictor(graph)(sample)["logits"]).max()) for sample in samples)
    for form, runtime in RUNTIMES.items():
        sizes = []
        for model, tolerance in ((thin, 1e-4), (int8, 0.1 * scale)):
            files = find("format", form)().export(model, graph, tmp_path / f"{form}-{len(sizes)}", samples, {})
            predict = one_by_one(Spec("runtime", runtime).build().load(files, threads=1))
            found = check(module_predictor(graph), predict, samples[:16], tolerance)
            assert found.ok, (form, found)
            sizes.append(sum(file.stat().st_size for file in files))
        assert sizes[1] < 0.6 * sizes[0], form


def test_a_factorized_model_can_be_pruned(untrained: Build, context: Context, tmp_path: Path) -> None:
    thin = LowRank(budget=0.5, epochs=0).apply(untrained("lenet5"), context)
    model = PruneStructured(macs=0.7, rounds=1, epochs=1).apply(thin, replace(context, scratch=tmp_path / "b"))
    model_file.save(model, tmp_path / "saved")
    image = torch.randn(3, 1, 8, 8)
    assert torch.equal(model_file.load(tmp_path / "saved").module(image), model.module.eval()(image))


def test_a_trained_network_keeps_its_quality_at_half_the_parameters(untrained: Build, context: Context, tmp_path: Path) -> None:
    model = untrained("mlp")
    before = train.fit(model.module, model.family.build(), Train(epochs=6, batch=32), replace(context, scratch=tmp_path / "a"))
    small = LowRank(budget=0.5, epochs=3).apply(model, replace(context, scratch=tmp_path / "b"))
    assert small.facts.parameters <= 0.5 * model.facts.parameters
    assert train._validate(small.module, small.family.build(), context) > before["accuracy"] - 0.05


def test_without_epochs_nothing_is_trained(untrained: Build, context: Context) -> None:
    model = untrained("mlp")
    small = LowRank(rank={"1": 5}, epochs=0).apply(model, context)
    expected = factorized(model.module.get_submodule("1"), (5,))
    assert torch.equal(small.module.get_parameter("1.0.weight"), expected.get_parameter("0.weight"))
    assert torch.equal(small.module.get_parameter("3.weight"), model.module.get_parameter("3.weight"))


REFUSED = {
    "above": ("mlp", {"1": 65}, "rank 65 of layer '1' is above its own, 64"),
    "above in one mode": ("lenet5", {"2": [51, 3]}, "rank [51, 3] of layer '2' is above its own, [50, 20]"),
    "one of two": ("lenet5", {"2": 10}, "layer '2' has two ranks, [output, input], at most [50, 20]; found 10"),
    "two of one": ("mlp", {"1": [3, 3]}, "layer '1' has one rank, at most 64; found [3, 3]"),
    "no gain": ("mlp", {"1": 60}, "rank 60 of layer '1' gains nothing (21840 weights instead of 19200); choose a lower one"),
    "no layer": ("mlp", {"first": 3}, "unknown layer 'first'; (allowed: 1, 3, 5)"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_ranks_that_cannot_be_are_refused_before_any_training(untrained: Build, context: Context, mistake: str) -> None:
    name, rank, words = REFUSED[mistake]
    technique: LowRank = Spec("technique", "low_rank", {"rank": rank}).build()
    model = untrained(name)
    with pytest.raises(UserError) as planned:
        technique.check(Outlook(model.family, {}, lambda: model.domain))
    with pytest.raises(UserError) as applied:
        technique.apply(model, replace(context, progress=lambda *_: pytest.fail("training")))
    assert words in str(planned.value) and words in str(applied.value)


def test_two_answers_to_how_much_are_refused() -> None:
    with pytest.raises(UserError, match="energy and budget each say what is kept; give one of energy, budget and rank"):
        Spec("technique", "low_rank", {"energy": 0.9, "budget": 0.5}).build()


def test_what_cannot_be_had_says_why(untrained: Build, context: Context) -> None:
    with pytest.raises(Unsupported, match=r"budget = 0.5 is out of reach: \d+ of \d+ parameters are left when every layer"):
        LowRank(budget=0.5).apply(untrained("gru_classifier"), context)
    with pytest.raises(Unsupported, match="of 3 layers that could be factorized none has fewer weights with 1 of its energy"):
        LowRank(energy=1.0).apply(untrained("mlp"), context)
