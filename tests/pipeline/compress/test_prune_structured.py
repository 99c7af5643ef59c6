"""Structured pruning meets its budget, couples what belongs together, and leaves a model that exports and can be told again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import facts, model_file, train
from pipeline.compress._budget import fewest
from pipeline.compress._heads import heads, shape
from pipeline.compress._importance import taylor
from pipeline.compress._slices import Group, Slices, cut
from pipeline.compress.prune_structured import PruneStructured
from pipeline.core import Arrays, Context, Dataset, Domain, Graph, Model, Outlook, Spec, Technique, TensorSpec, Train, Unsupported
from pipeline.errors import UserError
from pipeline.evaluate import module_predictor, observed, one_by_one
from pipeline.export.onnx_ import Onnx
from targets.runtimes.onnxruntime_ import OnnxRuntime

Build = Callable[..., Model]
CutDown = Callable[..., tuple[Model, Model]]

IMAGES = Domain("images", {"image": TensorSpec((1, 1, 12, 12))}, 10)
COLOURS = Domain("colours", {"image": TensorSpec((1, 3, 16, 16))}, 10)
SOUNDS = Domain("sounds", {"audio": TensorSpec((1, 1, 49, 10))}, 12)
LETTERS = tuple("abcdefghijklmnopqrst")
TEXT = Domain("text", {"tokens": TensorSpec((1, 13), "int64")}, 20, vocabulary=LETTERS)
PAIRS = Domain("pairs", {"source": TensorSpec((1, 9), "int64")}, 20, {"target": TensorSpec((1, 9), "int64")}, LETTERS)
SERIES = Domain("series", {"history": TensorSpec((1, 48, 3))}, 0, {"future": TensorSpec((1, 24, 3))})
NODES = Domain("nodes", {"features": TensorSpec((1, 30, 12)), "adjacency": TensorSpec((1, 30, 30))}, 4)
SMALL = {"layers": 2, "width": 32}

FAMILIES: dict[str, tuple[Domain, dict[str, Any]]] = {
    "mlp": (IMAGES, {}),
    "lenet5": (IMAGES, {}),
    "autoencoder": (IMAGES, {}),
    "resnet8": (COLOURS, {}),
    "ds_cnn": (SOUNDS, {}),
    "gcn": (NODES, {}),
    "gru_classifier": (IMAGES, {}),
    "gru_forecast": (SERIES, {}),
    "rnn": (TEXT, {"layers": 2, "hidden": 24}),
    "lstm": (TEXT, {"layers": 2, "hidden": 24}),
    "gru": (TEXT, {"layers": 3, "hidden": 24}),
    "transformer_encoder": (TEXT, SMALL),
    "transformer_decoder": (TEXT, SMALL),
    "transformer_seq2seq": (PAIRS, SMALL),
}
NORMALISED = ("resnet8", "ds_cnn")


def drawn(spec: TensorSpec, count: int, draw: np.random.Generator, classes: int) -> np.ndarray:
    """Samples of a tensor: symbols where it holds integers, with no padding among them."""
    size = (count, *spec.shape[1:])
    return draw.integers(3, classes, size) if spec.dtype == "int64" else draw.normal(size=size).astype(spec.dtype)


def samples(name: str, count: int = 8) -> Dataset:
    """Noise in the shapes of a family's domain, with what its loss and its judge want besides."""
    draw = np.random.default_rng(0)
    domain = FAMILIES[name][0]
    arrays: Arrays = {
        each: drawn(spec, count, draw, domain.classes) for each, spec in {**domain.inputs, **domain.targets}.items()
    }
    if name == "gcn":
        arrays |= {"label": draw.integers(0, 4, (count, 30)), "wanted": np.ones((count, 30), bool)}
    elif name == "autoencoder":
        arrays["kind"] = np.arange(count) % 2
    elif name == "transformer_seq2seq":
        arrays["reference"] = np.full((count, 4), ord("a"), np.uint8)
    elif domain.classes and name not in ("rnn", "lstm", "gru", "transformer_decoder"):
        arrays["label"] = draw.integers(0, domain.classes, count)
    return Dataset(domain, dict.fromkeys(("train", "validation", "test"), arrays), "")


def answers(model: Model) -> dict[str, dict[str, np.ndarray]]:
    """What each deployed graph says to noise, positions and tokens being small numbers."""
    draw = np.random.default_rng(1)
    graphs: dict[str, Graph] = model.family.build().graphs(model.module, model.domain)
    inputs = {
        name: {each: drawn(spec, 1, draw, 8).astype(spec.dtype) for each, spec in graph.inputs.items()}
        for name, graph in graphs.items()
    }
    return {name: module_predictor(graph)(inputs[name]) for name, graph in graphs.items()}


@pytest.mark.parametrize("importance", ["magnitude", "taylor", "batchnorm"])
@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_left_keeps_the_budget_exports_and_is_told_again(
    cut_down: CutDown, tmp_path: Path, name: str, importance: str
) -> None:
    if importance == "batchnorm" and name not in NORMALISED:
        pytest.skip("refused: it has no BatchNorm")
    domain, options = FAMILIES[name]
    data = samples(name)
    before, pruned = cut_down(Spec("model", name, options), domain, data, importance=importance, bytes=0.7)
    assert 0.6 * before.facts.parameters < pruned.facts.parameters <= 0.7 * before.facts.parameters

    model_file.save(pruned, tmp_path / "saved")
    loaded = model_file.load(tmp_path / "saved")
    for graph, outputs in answers(loaded).items():
        for output, array in answers(pruned)[graph].items():
            np.testing.assert_array_equal(outputs[output], array)

    graphs = loaded.family.build().graphs(loaded.module, domain)
    judge = loaded.family.build().task(domain)
    predictors = {graph: module_predictor(each) for graph, each in graphs.items()}
    wanted = {graph: each.inputs for graph, each in graphs.items()}
    asked = observed(judge, predictors, data.batch("test", slice(0, 2)), wanted, 3, 0)
    for graph, each in graphs.items():
        files = Onnx().export(loaded, each, tmp_path / graph, [], {})
        run = one_by_one(OnnxRuntime().load(files, threads=1))
        for inputs in asked[graph]:
            for output, array in run(inputs).items():
                np.testing.assert_allclose(array, predictors[graph](inputs)[output], atol=Onnx.tolerance)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["mlp", "lenet5", "gru_classifier"]), st.floats(0.1, 0.95), st.sampled_from(["macs", "bytes"]))
def test_no_more_than_the_budget_is_left_and_a_unit_more_would_be_too_much(
    cut_down: CutDown, name: str, budget: float, kind: str
) -> None:
    before, pruned = cut_down(Spec("model", name), IMAGES, **{kind: budget})
    field = "macs" if kind == "macs" else "parameters"
    left = getattr(pruned.facts, field) / getattr(before.facts, field)
    assert left <= budget
    assert left > budget - 0.05, "the largest unit of these is less than that"
    assert pruned.surgery[0]["record"]["left"] == {kind: left}
    assert pruned.module(torch.zeros(2, 1, 12, 12)).shape == (2, 10)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(st.sampled_from(["lenet5", "resnet8", "gru_classifier"]), st.integers(2, 12), st.floats(0.4, 0.9))
def test_what_is_left_of_a_layer_is_a_multiple_or_all_of_it(cut_down: CutDown, name: str, multiple: int, budget: float) -> None:
    before, pruned = cut_down(Spec("model", name), FAMILIES[name][0], multiple=multiple, macs=budget)
    assert pruned.facts.macs <= budget * before.facts.macs
    sizes = {key: each.shape[0] for key, each in before.module.named_parameters()}
    for key, each in pruned.module.named_parameters():
        gates = 3 if "gru" in key or "weight_" in key or "bias_" in key else 1
        assert each.shape[0] == sizes[key] or each.shape[0] % (gates * multiple) == 0, key


def test_a_chain_of_cuts_is_told_again(untrained: Build, context: Context, tmp_path: Path) -> None:
    model = PruneStructured(macs=0.4, rounds=3, epochs=3).apply(untrained("lenet5"), context)
    assert len(model.surgery) == 3
    model_file.save(model, tmp_path / "saved")
    image = torch.randn(2, 1, 8, 8)
    assert torch.equal(model_file.load(tmp_path / "saved").module(image), model.module(image))


@pytest.mark.parametrize(("name", "layers"), [("transformer_encoder", 2), ("transformer_decoder", 2), ("transformer_seq2seq", 6)])
def test_heads_vanish_whole(cut_down: CutDown, name: str, layers: int) -> None:
    domain, options = FAMILIES[name]
    before, pruned = cut_down(Spec("model", name, options), domain, bytes=0.6)
    whole, left = ([found for each in model.module.modules() if (found := shape(each))] for model in (before, pruned))
    assert whole == [(4, 8)] * layers
    assert len(left) == layers
    assert all(dimensions == 8 and heads < 4 for heads, dimensions in left)
    if name != "transformer_encoder":  # their caches have a shape for all layers
        assert len(set(left)) == 1
        assert pruned.family.options["heads"] == left[0][0]
        caches = {
            spec.shape[2]
            for graph in pruned.family.build().graphs(pruned.module, domain).values()
            for input, spec in graph.inputs.items()
            if "keys" in input or "values" in input
        }
        assert caches == {left[0][0]}


def test_a_head_that_is_left_does_what_it_did() -> None:
    """Cutting a head that adds nothing changes nothing: the others keep their places and their scale."""
    torch.manual_seed(0)
    for name in ("transformer_encoder", "transformer_decoder"):
        domain, options = FAMILIES[name]
        module = Spec("model", name, options).build().build(domain).eval()
        groups = heads(module)
        with torch.no_grad():
            for group in groups:
                output = group.slices[-1]
                columns = [index for index, unit in enumerate(output.owner) if unit == 1]
                module.get_parameter(output.tensor)[:, columns] = 0
        tokens = torch.randint(3, 20, (2, 12))
        tokens[0, 9:] = 0  # padding, where it means that
        expected = module(tokens)
        cut(module, [removal for group in groups for removal in group.without([1])])
        torch.testing.assert_close(module(tokens), expected, atol=1e-5, rtol=1e-5)


def test_levels_of_a_recurrent_layer_keep_the_units_that_matter(cut_down: CutDown) -> None:
    """Units whose weights are nearly nothing go, whichever they are in each level, and the rest says the same as before."""
    family = Spec("model", "gru", {"layers": 2, "hidden": 8, "embedding": 6})
    weak = {0: [1, 4], 1: [0, 7]}
    torch.manual_seed(0)
    module = family.build().build(TEXT).eval()
    with torch.no_grad():
        for level, units in weak.items():
            for unit in units:
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(module.recurrent, f"{name}_l{level}")[[unit, unit + 8, unit + 16]] = 0
                getattr(module.recurrent, f"weight_hh_l{level}")[:, unit] = 0
        module.recurrent.weight_ih_l1[:, weak[0]] = 0
        module.head.weight[:, weak[1]] = 0
    tokens = torch.randint(0, 20, (2, 12))
    expected = module(tokens)
    model = Model(family, TEXT, module, facts.measure(family.build().graphs(module, TEXT)))
    context = Context(samples("gru"), Train(), model, 0, Path(), lambda *_: None)
    choice = PruneStructured(bytes=0.82, rounds=1)._choice(model, model, 1.0, context)
    cut(module, choice["by_option"]).eval()  # counting its work had left it in training
    assert (choice["options"]["hidden"], choice["removed"]) == (6, [])
    torch.testing.assert_close(module(tokens), expected, atol=1e-6, rtol=1e-5)


def test_taylor_scores_are_what_ablation_says_to_first_order() -> None:
    """Of a weight that is made a little smaller the loss changes by so much: squared, and summed over a unit's weights."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 4), torch.nn.Linear(4, 3)).double()

    class Squares:
        def forward(self, net: torch.nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"out": net(batch["x"])}

        def loss(self, outputs: dict[str, torch.Tensor], batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return (outputs["out"] - batch["y"]).pow(2).mean()

    batch = {"x": torch.randn(5, 6).double(), "y": torch.randn(5, 3).double()}
    units = tuple(range(4))
    group = Group(4, (Slices("1.weight", 0, units), Slices("1.bias", 0, units), Slices("2.weight", 1, units)))
    found = taylor(module, Squares(), [batch])(group)

    def loss(net: torch.nn.Module) -> float:
        return float(Squares().loss(Squares().forward(net, batch), batch).detach())

    step, expected = 1e-5, torch.zeros(4)
    for each in group.slices:
        shape_ = module.get_parameter(each.tensor).shape
        for place in np.ndindex(*shape_):
            smaller = copy.deepcopy(module)
            with torch.no_grad():
                smaller.get_parameter(each.tensor)[place] *= 1 - step
            expected[each.owner[place[each.dim]]] += ((loss(module) - loss(smaller)) / step) ** 2
    assert found is not None
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-9)


def test_the_weakest_units_go_first(cut_down: CutDown, context: Context) -> None:
    family = Spec("model", "mlp", {"hidden": [8]})
    torch.manual_seed(0)
    module = family.build().build(IMAGES)
    with torch.no_grad():
        module[1].weight[[2, 5]] *= 1e-3
        module[3].weight[:, [2, 5]] *= 1e-3
    model = Model(family, IMAGES, module, facts.measure(family.build().graphs(module, IMAGES)))
    choice = PruneStructured(macs=0.76)._choice(model, model, 1.0, context)
    assert {name: indices for name, dim, indices in choice["removed"]} == {
        "1.weight": [2, 5],
        "1.bias": [2, 5],
        "3.weight": [2, 5],
    }


def test_small_scales_go_first_where_they_are_asked(cut_down: CutDown, context: Context) -> None:
    family = Spec("model", "ds_cnn", {"blocks": 1})
    torch.manual_seed(0)
    module = family.build().build(SOUNDS)
    scale = next(each for each in module.modules() if isinstance(each, torch.nn.BatchNorm2d)).weight
    with torch.no_grad():
        scale[[3, 9, 11]] = 0.01
    model = Model(family, SOUNDS, module, facts.measure(family.build().graphs(module, SOUNDS)))
    choice = PruneStructured(macs=0.93, importance="batchnorm")._choice(model, model, 1.0, context)
    assert set(choice["removed"][0][2]) <= {3, 9, 11}


def test_the_latency_is_measured_until_it_is_low_enough(untrained: Build, context: Context, tmp_path: Path) -> None:
    wide = untrained(hidden=[2048, 1024])
    pruned = PruneStructured(latency=0.5, rounds=1)._cut(replace(wide, module=copy.deepcopy(wide.module)), wide, 1.0, context)
    left = pruned.surgery[0]["record"]["left"]
    assert left["runtime"] == "onnxruntime"
    assert 0 < left["latency"] <= 0.5
    assert facts.measure(pruned.family.build().graphs(pruned.module, pruned.domain)).macs < wide.facts.macs


def test_bisection_finds_the_fewest_steps_and_measures_few() -> None:
    asked: list[int] = []

    def left(count: int) -> float:
        asked.append(count)
        return 1 - count / 1000

    assert fewest(left, (1000, 0.0), 0.5, None) == (500, 0.5)
    asked.clear()
    count, found = fewest(left, (1000, 0.0), 0.5, 32)
    assert 500 <= count <= 532
    assert found == left(count)
    assert len(asked) <= 7


def test_pruning_a_trained_network_keeps_most_of_its_quality(untrained: Build, context: Context, tmp_path: Path) -> None:
    model = untrained("mlp")
    before = train.fit(model.module, model.family.build(), Train(epochs=6, batch=32), replace(context, scratch=tmp_path / "a"))
    for importance in ("magnitude", "taylor"):
        own = replace(context, reference=model, scratch=tmp_path / importance)
        step = PruneStructured(importance=importance, macs=0.4, rounds=2, epochs=4, teacher=0.5)  # type: ignore[arg-type]
        pruned = step.apply(model, own)
        after = train._validate(pruned.module, pruned.family.build(), context)
        assert pruned.facts.macs <= 0.4 * model.facts.macs
        assert after > before["accuracy"] - 0.1


def test_a_killed_step_skips_the_rounds_that_were_done(goes_on: Callable[[Technique], list[float]]) -> None:
    assert min(goes_on(PruneStructured(macs=0.5, rounds=2, epochs=4))) >= 1.0


def test_a_budget_out_of_reach_says_what_can_be_had(cut_down: CutDown) -> None:
    with pytest.raises(Unsupported, match=r"^prune_structured: macs = 0.001 is out of reach: 0\.0\d+ of it is left"):
        cut_down(Spec("model", "mlp"), IMAGES, macs=0.001)


def test_a_model_of_which_nothing_can_go_says_so(cut_down: CutDown) -> None:
    with pytest.raises(Unsupported, match="som has no unit that could go"):
        cut_down(Spec("model", "som"), IMAGES, macs=0.5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"macs": 0.5, "bytes": 0.5}, "macs and bytes each say what is kept; give one of macs, bytes and latency"),
        ({"latency": 0.5, "bytes": 0.5}, "bytes and latency each say"),
        ({"macs": 1.0}, "macs: Input should be less than 1 (found 1.0)"),
        ({"importance": "tailor"}, "did you mean 'taylor'?"),
        ({"sparsity": 0.5}, "unknown option 'sparsity'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as refused:
        Spec("technique", "prune_structured", options).build()
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"importance": "batchnorm"}, "needs layers of batch normalisation, and mlp has none; choose 'magnitude' or 'taylor'"),
        ({"latency": 0.5, "runtime": "onnxruntme"}, "unknown runtime 'onnxruntme'; did you mean 'onnxruntime'?"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_before_any_work(options: dict[str, Any], words: str) -> None:
    family = Spec("model", "mlp")
    with pytest.raises(UserError) as refused:
        PruneStructured(**options).check(Outlook(family, {"mlp": family}, lambda: IMAGES))
    assert words in str(refused.value)
