"""Every file of models/ keeps the promises that the pipeline builds on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.core import Domain, Spec, TensorSpec, Train
from pipeline.evaluate import module_predictor
from pipeline.export import _trace
from pipeline.facts import measure
from pipeline.registry import names

SMALL = Domain("small", {"image": TensorSpec((1, 1, 8, 8))}, 10)
LARGE = Domain("large", {"image": TensorSpec((1, 1, 28, 28))}, 10)
COLOUR = Domain("colour", {"image": TensorSpec((1, 3, 32, 32))}, 7)


@pytest.fixture(params=names("model"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("domain", [SMALL, LARGE, COLOUR], ids=lambda domain: domain.name)
def test_its_deployed_graphs_run_on_their_declared_inputs(name: str, domain: Domain) -> None:
    family = Spec("model", name).build()
    graphs = family.graphs(family.build(domain), domain)
    assert graphs
    for graph in graphs.values():
        outputs = _trace.run(graph, _trace.examples(graph))
        assert tuple(outputs) == graph.outputs


def test_it_learns_from_one_batch(name: str) -> None:
    torch.manual_seed(0)
    family = Spec("model", name).build()
    module = family.build(SMALL)
    batch = {"image": torch.randn(8, 1, 8, 8), "label": torch.arange(8)}
    optimizer = torch.optim.AdamW(module.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = family.loss(family.forward(module, batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 4


def test_its_judge_scores_what_the_graph_says(name: str) -> None:
    torch.manual_seed(0)
    family = Spec("model", name).build()
    graphs = family.graphs(family.build(SMALL), SMALL)
    task = family.task(SMALL)
    images = np.random.default_rng(0).normal(size=(6, 1, 8, 8)).astype(np.float32)
    predictors = {key: module_predictor(graph) for key, graph in graphs.items()}
    said = predictors[task.graph]({"image": images})["logits"].argmax(1)
    evidence = task.collect(predictors, {"image": images, "label": said})
    assert task.value(evidence) == 1.0


def test_it_has_both_presets(name: str) -> None:
    presets = Spec("model", name).build().presets
    assert set(presets) == {"quick", "full"}
    assert all(isinstance(preset, Train) for preset in presets.values())


def test_half_the_width_is_a_smaller_network(name: str) -> None:
    sizes = []
    for width in (1.0, 0.5):
        family = Spec("model", name, {"width": width}).build()
        sizes.append(measure(family.graphs(family.build(LARGE), LARGE)).parameters)
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize(("name", "parameters"), [("mlp", 266_610), ("lenet5", 431_080)])
def test_published_architectures_have_their_published_size(name: str, parameters: int) -> None:
    family = Spec("model", name).build()
    assert measure(family.graphs(family.build(LARGE), LARGE)).parameters == parameters
