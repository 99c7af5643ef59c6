"""The graph network computes the paper's formula, learns from the wanted nodes alone, and takes several graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from models.data.planetoid import Planetoid
from models.gcn import GCN
from pipeline.core import Dataset
from tests.synthetic import planetoid


def batch_of(root: Path) -> tuple[Dataset, dict[str, torch.Tensor]]:
    planetoid.write(root)
    data = Planetoid().load(root)
    return data, {name: torch.from_numpy(array) for name, array in data.batch("train", np.array([0])).items()}


def test_it_is_two_products_with_the_graph(tmp_path: Path) -> None:
    data, batch = batch_of(tmp_path)
    module = GCN().build(data.domain).eval()
    x, a = batch["features"][0].double(), batch["adjacency"][0].double()
    w1, w2 = (module.get_parameter(f"{layer}.weight").double().T for layer in ("first", "second"))
    b1, b2 = (module.get_parameter(f"{layer}_bias").double() for layer in ("first", "second"))
    expected = a @ torch.relu(a @ x @ w1 + b1) @ w2 + b2
    torch.testing.assert_close(GCN().forward(module, batch)["logits"][0].double(), expected, atol=1e-5, rtol=1e-5)


def test_only_wanted_labels_teach(tmp_path: Path) -> None:
    data, batch = batch_of(tmp_path)
    family = GCN()
    module = family.build(data.domain).eval()
    loss = family.loss(family.forward(module, batch), batch)
    hidden = batch["label"].where(batch["wanted"], 0)
    assert torch.equal(family.loss(family.forward(module, batch), {**batch, "label": hidden}), loss)


def test_the_penalty_pulls_the_first_layer(tmp_path: Path) -> None:
    data, batch = batch_of(tmp_path)
    module = GCN().build(data.domain).eval()
    plain, pulled = (GCN(penalty=penalty).forward(module, batch) for penalty in (0.0, 0.5))
    losses = [GCN().loss(outputs, batch) for outputs in (plain, pulled)]
    squares = module.get_parameter("first.weight").square().sum()
    torch.testing.assert_close(losses[1] - losses[0], 0.25 * squares)


def test_a_batch_of_graphs_is_each_alone(tmp_path: Path) -> None:
    data, batch = batch_of(tmp_path)
    module = GCN().build(data.domain).eval()
    other = (batch["features"].flip(2), batch["adjacency"])
    both = module(torch.cat([batch["features"], other[0]]), torch.cat([batch["adjacency"], other[1]]))
    torch.testing.assert_close(both, torch.cat([module(batch["features"], batch["adjacency"]), module(*other)]))
