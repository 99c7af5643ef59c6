"""An autoencoder gives back what it knows through a bottleneck, and not what it does not know."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from models.autoencoder import Autoencoder
from models.tasks.anomaly import auroc
from pipeline.core import Domain, TensorSpec
from pipeline.evaluate import module_predictor

DOMAIN = Domain("pictures", {"image": TensorSpec((1, 1, 8, 8))})


def test_a_reconstruction_has_the_inputs_shape() -> None:
    graph = Autoencoder().graphs(Autoencoder().build(DOMAIN), DOMAIN)["autoencoder"]
    assert module_predictor(graph)({"image": np.zeros((3, 1, 8, 8), np.float32)})["reconstruction"].shape == (3, 1, 8, 8)


def test_everything_goes_through_the_bottleneck() -> None:
    module = Autoencoder(hidden=(32,), latent=3, width=0.5).build(DOMAIN)
    sizes = [(layer.in_features, layer.out_features) for layer in module.modules() if isinstance(layer, nn.Linear)]
    assert sizes == [(64, 16), (16, 3), (3, 16), (16, 64)]


def test_a_stranger_does_not_fit_through() -> None:
    torch.manual_seed(0)
    family = Autoencoder(hidden=(32,), latent=4)
    module = family.build(DOMAIN)
    basis = torch.linalg.qr(torch.randn(64, 4))[0].T
    known = (torch.randn(512, 4) @ basis).view(-1, 1, 8, 8) * 4
    strange = torch.randn(512, 1, 8, 8) / 2  # of the same length, in any direction
    optimizer = torch.optim.AdamW(module.parameters(), 1e-2)
    for _ in range(150):
        batch = {"image": known, "kind": torch.zeros(512, dtype=torch.int64)}
        loss = family.loss(family.forward(module, batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    task = family.task(DOMAIN)
    predictors = {name: module_predictor(graph) for name, graph in family.graphs(module, DOMAIN).items()}
    images = torch.cat([known, strange]).numpy()
    evidence = task.collect(predictors, {"image": images, "kind": np.repeat([0, 1], 512)})
    score = evidence["score"]
    assert task.value(evidence) == auroc(score[:512], score[512:])
    assert task.value(evidence) > 0.95
