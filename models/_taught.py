"""Our LeNet-5, taught by pictures that a model made, and asked about real ones."""

from __future__ import annotations

import numpy as np

from pipeline.alone import asked, trained
from pipeline.core import Array, Dataset, Domain, Spec, TensorSpec, Train

TRAIN = Train(epochs=6, learning_rate=2e-3, weight_decay=0.3)
SEED = 0
PICTURE = "image"
"""As LeNet-5 calls its input."""


def right(classes: int, made: Array, labels: Array, real: Array, truth: Array) -> Array:
    """Of real pictures [M, C, H, W] (0 to 255) which it knows, bool [M], taught by made ones [N, C, H, W] of `labels` [N]."""
    inputs = {PICTURE: TensorSpec((1, *made.shape[1:]))}
    splits = {"train": {PICTURE: made, "label": labels}, "test": {PICTURE: real, "label": truth}}
    empty = {name: array[:0] for name, array in splits["train"].items()}
    data = Dataset(Domain("made", inputs, classes), {**splits, "validation": empty}, "", _prepared)
    correct: Array = asked(trained(Spec("model", "lenet5"), data, TRAIN, SEED), data)["correct"]
    return correct


def _prepared(batch: dict[str, Array]) -> dict[str, Array]:
    """-1 to 1."""
    return {**batch, PICTURE: batch[PICTURE].astype(np.float32) / 127.5 - 1}
