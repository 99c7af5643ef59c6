"""Our LeNet-5, taught by pictures that a model made, and asked about real ones."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from models.lenet5 import LeNet5
from pipeline.core import Array, Context, Dataset, Domain, Facts, Model, Spec, TensorSpec, Train
from pipeline.evaluate import collect, module_predictor
from pipeline.progress import silent
from pipeline.train import fit

TRAIN = Train(epochs=6, learning_rate=2e-3, weight_decay=0.3)
SEED = 0
PICTURE = "image"
"""As LeNet-5 calls its input."""


def right(classes: int, made: Array, labels: Array, real: Array, truth: Array) -> Array:
    """Of real pictures [M, C, H, W] (0 to 255) which it knows, bool [M], taught by made ones [N, C, H, W] of `labels` [N]."""
    import torch

    inputs = {PICTURE: TensorSpec((1, *made.shape[1:]))}
    splits = {"train": {PICTURE: made, "label": labels}, "test": {PICTURE: real, "label": truth}}
    empty = {name: array[:0] for name, array in splits["train"].items()}
    data = Dataset(Domain("made", inputs, classes), {**splits, "validation": empty}, "", _prepared)
    family = LeNet5()
    with torch.random.fork_rng(devices=[]), TemporaryDirectory() as scratch:
        torch.manual_seed(SEED)
        module = family.build(data.domain)
        model = Model(Spec("model", "lenet5"), data.domain, module, Facts(0, 0))
        fit(module, family, TRAIN, Context(data, TRAIN, model, SEED, Path(scratch), silent))
    predictors = {name: module_predictor(graph) for name, graph in family.graphs(module, data.domain).items()}
    correct: Array = collect(family.task(data.domain), predictors, data, "test")["correct"]
    return correct


def _prepared(batch: dict[str, Array]) -> dict[str, Array]:
    """-1 to 1."""
    return {**batch, PICTURE: batch[PICTURE].astype(np.float32) / 127.5 - 1}
