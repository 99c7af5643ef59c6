"""Every technique on every family: a model that runs and survives the disk, or the reason why not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import facts, model_file
from pipeline.core import Context, Dataset, Graph, Model, Spec, Technique, Unsupported
from pipeline.export import _trace
from pipeline.registry import names
from tests.pairs import Pair, pairs

ONE = {pair.family.name: pair for pair in pairs()}
"""A pair for each family: the data change little of what a technique can do."""
SMALL = {
    "autoencoder": {"width": 0.25},
    "resnet8": {"width": 0.5},
    "lstm": {"hidden": 24, "embedding": 8},
    "transformer_decoder": {"layers": 2, "width": 32},
    "transformer_encoder": {"layers": 1, "width": 32},
    "transformer_seq2seq": {"layers": 1, "width": 32},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "low_rank": {"budget": 0.95},
    "quantize_weights": {"bits": 4},
    "mixed_precision": {"mean_bits": 6, "samples": 8},
}
GAMES = ("gan", "style_gan", "vae_gan")
"""Whose loss is a critic's."""
NO_LOGITS = (
    *("autoencoder", "diffusion_transformer", "diffusion_unet", "gru_forecast", "nerf", "som", "style_transfer"),
    *("super_resolution", *GAMES),
)
RECURRENT = "rank 1"
BETWEEN = "between its first and its last layer the model has no"
REFUSED = {
    ("gru", "low_rank"): RECURRENT,
    ("gru_classifier", "low_rank"): RECURRENT,
    ("rbf", "prune_structured"): "rbf has no unit that could go",
    ("som", "prune_structured"): "som has no unit that could go",
    ("som", "low_rank"): "6400 of 6400 parameters are left",
    ("gan", "prune_structured"): "gan has no unit that could go",
    ("diffusion_transformer", "prune_structured"): "diffusion_transformer has no unit that could go",
    ("style_gan", "prune_structured"): "out of reach",
    ("vae_gan", "prune_structured"): "out of reach",
    ("vqvae", "prune_structured"): "out of reach",
    ("wavenet", "prune_structured"): "cannot trace the model: UserWarning: Maximum recursive depth",
    ("som", "lora"): "no linear, convolutional or recurrent layer and no embedding",
    **{(name, "progressive_distillation"): f"{name} makes nothing in steps" for name in ONE if not name.startswith("diffusion_")},
    **{
        (name, "binarize"): BETWEEN
        for name in ("gcn", "gru", "gru_classifier", "gru_forecast", "lstm", "rbf", "rnn", "som", "gan", "style_transfer")
    },
}
"""A recurrent model's weights are mostly its gates', which are neither factorized nor binarized; centres are no layers."""
SAMPLES = 8


@cache
def made(name: str, root: Path) -> tuple[Model, Dataset]:
    """An untrained model of the family, and the few samples of its data."""
    pair: Pair = ONE[name]
    whole: Dataset = pair.data.build().load(root)
    few = {split: {key: array[:SAMPLES] for key, array in arrays.items()} for split, arrays in whole.splits.items()}
    data = replace(whole, splits=few, augment=None)
    spec = Spec("model", name, {**pair.family.options, **SMALL.get(name, {})})
    torch.manual_seed(0)
    family = spec.build()
    module = family.build(data.domain)
    family.begin(module, data, 0)
    return Model(spec, data.domain, module.eval(), facts.measure(family.graphs(module, data.domain))), data


def answers(model: Model) -> list[np.ndarray]:
    graphs: dict[str, Graph] = model.family.build().graphs(model.module, model.domain)
    return [array for graph in graphs.values() for array in _trace.run(graph, _trace.examples(graph)).values()]


@pytest.mark.parametrize("technique", names("technique"))
@pytest.mark.parametrize("name", sorted(ONE))
def test_it_works_or_says_why_not(name: str, technique: str, synthetic_data: Path, tmp_path: Path) -> None:
    model, data = made(name, synthetic_data)
    options = {"kind": "outputs"} if technique == "distill" and name in NO_LOGITS else OPTIONS.get(technique, {})
    step: Technique = Spec("technique", technique, options).build()
    train = replace(ONE[name].quick, epochs=1, batch=4, samples=SAMPLES)
    context = Context(data, train, model, 0, tmp_path / "scratch", lambda *_: None)
    (tmp_path / "scratch").mkdir()
    if (name, technique) in REFUSED:
        with pytest.raises(Unsupported, match=REFUSED[name, technique]):
            step.apply(model, context)
        return
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    compressed = step.apply(model, context)
    after = compressed.module.state_dict() if step.keeps_weights else model.module.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    model_file.save(compressed, tmp_path / "saved")
    again = answers(model_file.load(tmp_path / "saved"))
    assert all(np.array_equal(one, other) for one, other in zip(answers(compressed), again, strict=True))
    assert all(np.isfinite(each).all() for each in again if each.dtype.kind == "f")
