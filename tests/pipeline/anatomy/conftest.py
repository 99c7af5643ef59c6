"""Tiny networks with something to find in them, exported once each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core import Arrays, Domain, Facts, Graph, Model, Precision, Spec, TensorSpec
from pipeline.registry import find

INPUTS = {"image": TensorSpec((1, 1, 8, 8))}


class Gru(nn.Module):
    """Reads the image row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.head = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        rows, _ = self.recurrent(image.squeeze(1))
        return self.head(rows[:, -1])


def build(name: str) -> nn.Module:
    """A convolution with BatchNorm, a second one, a linear layer; `sparse`: 95 % of its weights are zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name == "gru":
            return Gru().eval()
        features = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
        module = nn.Sequential(*features, nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10))
        module[4].weight.data *= torch.linspace(0.1, 3, 16).view(-1, 1, 1, 1)  # channels differ, as trained ones do
        if name == "sparse":
            for weight in (each for each in module.parameters() if each.dim() > 1):
                kept = torch.rand_like(weight) > 0.95
                kept.flatten(1)[:, 0] = True  # no channel is empty: one has no scale
                weight.data *= kept
        module[1].running_var.fill_(4.0)
        return module.eval()


def sample(seed: int) -> Arrays:
    return {"image": np.random.default_rng(seed).random((1, 1, 8, 8), dtype=np.float32)}


@dataclass(frozen=True)
class Exported:
    """The files, and the module that they came from."""

    files: list[Path]
    module: nn.Module


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Exported]:
    @cache
    def once(form: str, name: str, int8: bool = False) -> Exported:
        graph = Graph(build(name), INPUTS, ("logits",))
        precision = Precision("static", calibration_samples=8) if int8 else None
        model = Model(Spec("model", "tiny"), Domain("tiny", INPUTS, 10), graph.module, Facts(1, 1), precision)
        calibration = [sample(seed) for seed in range(8)] if int8 else []
        path = tmp_path_factory.mktemp(form) / name
        return Exported(find("format", form)().export(model, graph, path, calibration, {}), graph.module)

    return once
