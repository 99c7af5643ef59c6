from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from models.ds_cnn import DSCNN
from pipeline.core import Domain, Model, Spec, TensorSpec
from pipeline.facts import measure

WORDS = Domain("words", {"spectrogram": TensorSpec((1, 1, 49, 10))}, 12)


def test_it_has_the_benchmarks_parameters() -> None:
    """24,908 in MLPerf Tiny's Keras summary (12 classes), which counts the running means and variances too."""
    module = DSCNN().build(WORDS)
    weights = sum(parameter.numel() for parameter in module.parameters())
    statistics = sum(buffer.numel() for name, buffer in module.named_buffers() if "running" in name)
    assert (weights, statistics, weights + statistics) == (23_756, 1_152, 24_908)


def test_its_first_map_has_the_benchmarks_25_by_5_places() -> None:
    """And so it costs the 2.7 million multiply-accumulates of Banbury et al. (2021)."""
    module = DSCNN().build(WORDS)
    assert module[0](torch.zeros(1, 1, 49, 10)).shape == (1, 64, 25, 5)  # type: ignore[index]
    assert measure(DSCNN().graphs(module, WORDS)).macs == pytest.approx(2.7e6, rel=0.02)


@pytest.mark.parametrize("blocks", [0, 1, 6])
def test_its_depth_is_an_option(blocks: int) -> None:
    module = DSCNN(blocks=blocks).build(WORDS)
    depthwise = [layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d) and layer.groups > 1]
    assert len(depthwise) == blocks
    assert module.eval()(torch.zeros(3, 1, 49, 10)).shape == (3, 12)


def test_its_channels_can_be_pruned(cut_down: Callable[..., tuple[Model, Model]]) -> None:
    before, small = cut_down(Spec("model", "ds_cnn"), WORDS, macs=0.5)
    assert small.facts.macs <= before.facts.macs / 2
    assert small.module.eval()(torch.randn(2, 1, 49, 10)).shape == (2, 12)
