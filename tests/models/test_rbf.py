"""Centres lie where the samples are, widths fit their distances, and distances survive their shortcut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.data.digits import Digits
from models.rbf import RBF, k_means
from pipeline.core import Dataset


@pytest.fixture(scope="module")
def data() -> Dataset:
    return Digits().load(Path())


def test_k_means_finds_separate_clusters() -> None:
    generator = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]])
    samples = np.repeat(centres, 40, axis=0) + generator.standard_normal((120, 2))
    found = [k_means(samples, 3, np.random.default_rng(seed)) for seed in range(10)]
    means = np.sort(samples.reshape(3, 40, 2).mean(1), axis=0)
    assert any(np.allclose(np.sort(each, axis=0), means, atol=1e-4) for each in found)  # Lloyd's finds a local optimum only


def test_fewer_samples_than_clusters_are_no_trouble() -> None:
    found = k_means(np.arange(6.0).reshape(3, 2), 5, np.random.default_rng(0))
    assert found.shape == (5, 2)
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=0)) == 5


def test_distances_by_product_are_the_true_ones(data: Dataset) -> None:
    torch.manual_seed(0)
    family = RBF(centres=30)
    module = family.build(data.domain)
    family.begin(module, data, 0)
    image = torch.from_numpy(data.batch("validation", slice(0, 50))["image"])
    centre, width = (module.get_parameter(name).detach().double() for name in ("centre", "log_width"))
    near = (-0.5 * torch.cdist(image.flatten(1).double(), centre).square() / (2 * width).exp()).exp()
    expected = near @ module.get_parameter("head.weight").double().T + module.get_parameter("head.bias").double()
    torch.testing.assert_close(module(image).double(), expected, atol=1e-5, rtol=1e-5)


def test_it_begins_among_the_samples_and_the_same_again(data: Dataset) -> None:
    family = RBF(centres=30)
    modules = [family.build(data.domain) for _ in range(2)]
    for module in modules:
        family.begin(module, data, 3)
    centre = modules[0].get_parameter("centre")
    assert torch.equal(centre, modules[1].get_parameter("centre"))
    image = torch.from_numpy(data.batch("train", slice(None))["image"]).flatten(1)
    assert torch.cdist(image, centre).min(1).values.mean() < 0.75 * image.std(0).square().sum().sqrt()
    reach = modules[0].get_parameter("log_width").exp()
    nearest = torch.cdist(centre, centre).topk(2, largest=False).values[:, 1]
    assert (reach >= nearest - 1e-3).all()  # wide enough to reach the next centre
