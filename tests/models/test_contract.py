"""Every file of models/ keeps the promises that the pipeline builds on, on the data that our recipes train it on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.core import Dataset, Domain, Family, Spec, TensorSpec, Train
from pipeline.evaluate import collect, module_predictor, observed
from pipeline.export import _trace
from pipeline.facts import measure
from pipeline.registry import names
from tests.pairs import Pair, pairs

LARGE = Domain("large", {"image": TensorSpec((1, 1, 28, 28))}, 10)
COLOUR = Domain("colour", {"image": TensorSpec((1, 3, 32, 32))}, 7)
STEPS = 30


@pytest.fixture(params=pairs(), ids=str)
def pair(request: pytest.FixtureRequest) -> Pair:
    return request.param


@pytest.fixture
def data(pair: Pair, synthetic_data: Path) -> Dataset:
    loaded: Dataset = pair.data.build().load(synthetic_data)
    return loaded


@pytest.fixture
def family(pair: Pair) -> Family:
    built: Family = pair.family.build()
    return built


@pytest.fixture
def module(family: Family, data: Dataset) -> torch.nn.Module:
    torch.manual_seed(0)
    built = family.build(data.domain)
    family.begin(built, data, 0)
    return built


def test_every_architecture_is_in_a_recipe() -> None:
    assert {pair.family.name for pair in pairs()} == set(names("model"))


def test_its_deployed_graphs_give_their_declared_outputs(family: Family, module: torch.nn.Module, data: Dataset) -> None:
    graphs = family.graphs(module, data.domain)
    assert graphs
    for graph in graphs.values():
        outputs = _trace.run(graph, _trace.examples(graph))
        assert tuple(outputs) == graph.outputs
        assert {len(array) for array in outputs.values()} == {1}, "the first axis of every output is the batch"


def test_samples_side_by_side_give_what_each_gives_alone(family: Family, module: torch.nn.Module, data: Dataset) -> None:
    """Files have batch 1, torch judges many at once: both must be the same network."""
    graphs = family.graphs(module, data.domain)
    predictors = {name: module_predictor(graph) for name, graph in graphs.items()}
    samples = data.batch("test", slice(0, 3))
    asked = observed(family.task(data.domain), predictors, samples, {n: g.inputs for n, g in graphs.items()}, 3, 0)
    for name, singles in asked.items():
        together = predictors[name]({key: np.concatenate([each[key] for each in singles]) for key in singles[0]})
        for key, array in together.items():
            alone = np.concatenate([predictors[name](each)[key] for each in singles])
            np.testing.assert_allclose(array, alone, atol=1e-4, err_msg=f"{name}: {key}")


def test_it_learns(pair: Pair, family: Family, module: torch.nn.Module, data: Dataset) -> None:
    torch.manual_seed(0)
    batch = {name: torch.from_numpy(array) for name, array in data.batch("train", slice(0, 8)).items()}
    optimizer = torch.optim.AdamW(module.parameters(), pair.quick.learning_rate)
    losses = []
    for step in range(STEPS):
        family.pace(module, step / STEPS)
        loss = family.loss(family.forward(module, batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[-5:]) < 0.9 * losses[0]


def test_its_judge_knows_its_own_doubt(family: Family, module: torch.nn.Module, data: Dataset) -> None:
    task = family.task(data.domain)
    predictors = {name: module_predictor(graph) for name, graph in family.graphs(module, data.domain).items()}
    evidence = collect(task, predictors, data, "test", limit=12)
    assert len({len(array) for array in evidence.values()}) == 1, "a row each"
    low, high = task.interval(evidence)
    assert low <= task.value(evidence) <= high
    delta, below, above = task.difference(evidence, evidence)
    assert delta == 0 and below <= 0 <= above
    for detail in task.details(evidence):
        assert np.isfinite(detail.value)
        assert detail.low is None or detail.low <= detail.value <= detail.high
    for example in task.examples(predictors, data.batch("test", slice(0, 2))):
        assert example.given and isinstance(example.made, str)


def test_its_state_is_all_there_is_of_it(family: Family, module: torch.nn.Module, data: Dataset) -> None:
    """What is not in the state dictionary is lost in the store: a fresh module filled with it must be the same network."""
    torch.manual_seed(1)
    fresh = family.build(data.domain)
    fresh.load_state_dict(module.state_dict())
    for name, graph in family.graphs(module, data.domain).items():
        inputs = _trace.examples(graph)
        other = _trace.run(family.graphs(fresh, data.domain)[name], inputs)
        for key, array in _trace.run(graph, inputs).items():
            np.testing.assert_array_equal(array, other[key])


@pytest.mark.parametrize("name", names("model"))
def test_it_has_both_presets(name: str) -> None:
    presets = Spec("model", name).build().presets
    assert set(presets) == {"quick", "full"}
    assert all(isinstance(preset, Train) for preset in presets.values())


def test_half_the_width_is_a_smaller_network(pair: Pair, data: Dataset) -> None:
    if "width" not in pair.family.options or isinstance(pair.family.options["width"], int):
        pytest.skip("has no option that multiplies its width")
    sizes = []
    for width in (1.0, 0.5):
        built = Spec("model", pair.family.name, {**pair.family.options, "width": width}).build()
        sizes.append(measure(built.graphs(built.build(data.domain), data.domain)).parameters)
    assert sizes[1] < 0.7 * sizes[0]


@pytest.mark.parametrize("domain", [LARGE, COLOUR], ids=lambda domain: domain.name)
@pytest.mark.parametrize("name", ["mlp", "lenet5", "gru_classifier"])
def test_image_classifiers_take_images_of_any_size(name: str, domain: Domain) -> None:
    built = Spec("model", name).build()
    for graph in built.graphs(built.build(domain), domain).values():
        assert _trace.run(graph, _trace.examples(graph))["logits"].shape == (1, domain.classes)


@pytest.mark.parametrize(("name", "parameters"), [("mlp", 266_610), ("lenet5", 431_080)])
def test_published_architectures_have_their_published_size(name: str, parameters: int) -> None:
    built = Spec("model", name).build()
    assert measure(built.graphs(built.build(LARGE), LARGE)).parameters == parameters
