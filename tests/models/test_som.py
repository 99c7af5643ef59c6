"""A step of plain SGD is Kohonen's rule, the radius shrinks, and the lookup finds the nearest prototype."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.data.digits import Digits
from models.som import SOM
from pipeline.core import Dataset


@pytest.fixture(scope="module")
def data() -> Dataset:
    return Digits().load(Path())


def started(family: SOM, data: Dataset) -> torch.nn.Module:
    torch.manual_seed(0)
    module = family.build(data.domain)
    family.begin(module, data, 0)
    return module


def test_a_step_is_kohonens_rule(data: Dataset) -> None:
    family, rate, radius = SOM(rows=4, columns=5), 0.3, 1.7
    module = started(family, data)
    codebook = module.get_parameter("codebook")
    before = codebook.detach().double().numpy().copy()
    module.get_buffer("radius").fill_(radius)
    batch = {"image": torch.from_numpy(data.batch("validation", [0])["image"])}
    family.loss(family.forward(module, batch), batch).backward()
    torch.optim.SGD([codebook], rate).step()
    x = batch["image"].numpy().reshape(-1).astype(np.float64)
    best = np.linalg.norm(x - before, axis=1).argmin()
    for unit in range(20):
        apart = (unit // 5 - best // 5) ** 2 + (unit % 5 - best % 5) ** 2
        expected = before[unit] + rate * np.exp(-apart / (2 * radius**2)) * (x - before[unit])
        np.testing.assert_allclose(codebook[unit].detach().numpy(), expected, atol=1e-5)


def test_the_radius_shrinks_from_first_to_last(data: Dataset) -> None:
    family = SOM(first_radius=4.0, last_radius=1.0)
    module = started(family, data)
    found = []
    for done in (0.0, 0.5, 1.0):
        family.pace(module, done)
        found.append(float(module.get_buffer("radius")))
    assert found == pytest.approx([4.0, 2.0, 1.0])
    assert "radius" in module.state_dict()  # a checkpoint holds it


def test_the_lookup_finds_the_two_nearest_prototypes(data: Dataset) -> None:
    module = started(SOM(), data).eval()
    image = torch.from_numpy(data.batch("test", slice(0, 100))["image"])
    unit, second, prototype = module(image)
    codebook = module.get_parameter("codebook")
    distance = torch.cdist(image.flatten(1), codebook)
    nearest = distance.topk(2, largest=False)
    assert torch.equal(torch.stack([unit, second], 1), nearest.indices)
    assert torch.equal(prototype, codebook[unit])
    assert unit.dtype == torch.int64


def test_it_begins_with_training_samples(data: Dataset) -> None:
    codebook = started(SOM(rows=3, columns=3), data).get_parameter("codebook").detach().numpy()
    samples = data.batch("train", slice(None))["image"].reshape(-1, 64)
    assert all((samples == prototype).all(1).any() for prototype in codebook)
