from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models.resnet8 import ResNet8
from pipeline.core import Domain, Model, Spec, TensorSpec
from pipeline.facts import measure

CIFAR = Domain("cifar", {"image": TensorSpec((1, 3, 32, 32))}, 10)


def test_it_has_the_benchmarks_parameters() -> None:
    """78,666 in MLPerf Tiny's Keras summary, which counts the running means and variances too."""
    module = ResNet8().build(CIFAR)
    weights = sum(parameter.numel() for parameter in module.parameters())
    statistics = sum(buffer.numel() for name, buffer in module.named_buffers() if "running" in name)
    assert (weights, statistics, weights + statistics) == (78_186, 480, 78_666)
    assert measure(ResNet8().graphs(module, CIFAR)).parameters == weights


def test_its_work_is_the_benchmarks() -> None:
    """12.5 million multiply-accumulates (Banbury et al., 2021)."""
    assert measure(ResNet8().graphs(ResNet8().build(CIFAR), CIFAR)).macs == pytest.approx(12.5e6, rel=0.01)


def test_a_stack_keeps_its_input_where_its_body_adds_nothing() -> None:
    """What makes it residual: with a silent body, the first stack passes on the ReLU of what it is given."""
    stack: Any = ResNet8().build(CIFAR)[3]
    stack.eval()
    torch.nn.init.zeros_(stack.body[-1].weight)
    x = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(stack(x), torch.relu(x))


@pytest.mark.parametrize("size", [(32, 32), (28, 28), (9, 33)], ids=str)
def test_it_takes_images_of_any_size(size: tuple[int, int]) -> None:
    domain = replace(CIFAR, inputs={"image": TensorSpec((1, 3, *size))})
    assert ResNet8().build(domain).eval()(torch.zeros(2, 3, *size)).shape == (2, 10)


def test_its_channels_can_be_pruned_across_the_shortcuts(cut_down: Callable[..., tuple[Model, Model]]) -> None:
    before, small = cut_down(Spec("model", "resnet8"), CIFAR, macs=0.5)
    assert small.facts.macs <= before.facts.macs / 2
    assert np.isfinite(small.module.eval()(torch.randn(2, 3, 32, 32)).detach().numpy()).all()
