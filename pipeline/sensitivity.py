"""How much a model minds when one of its weights is stored more coarsely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from pipeline.anatomy._parts import Part, Weight
from pipeline.compress._weights import weights
from pipeline.core import Array, Dataset, Model

if TYPE_CHECKING:
    import torch

BITS = 4
SAMPLES = 256
TENSORS = 32
"""The largest ones; each costs a pass over the samples."""
ALIKE = 0.05
"""Mean difference of two tensors' profiles up to which they are one tensor: rounding to 4 bits moves it by less."""
POINTS = 256


def sensitivity(model: Model, data: Dataset, seed: int) -> dict[str, float]:
    """By the parameter's name: what the mean loss on 256 validation samples gains when that tensor alone is rounded to 4 bits,

        S(w) = L(w4) - L(w),    w4 = s * round(w / s),    s = max |w of its output channel| / 7

    in the loss's unit, the largest 32 weights only. A simple form of the per-layer sensitivities that HAWQ (Dong et al. 2019,
    arXiv:1905.03696) takes from second derivatives. It is a difference of two losses: near zero, and below it, it says nothing.
    """
    import torch

    split = "validation" if data.size("validation") else "train"
    batch = {name: torch.from_numpy(array) for name, array in data.batch(split, slice(0, SAMPLES)).items()}
    family, module = model.family.build(), model.module.eval()

    def loss() -> float:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)  # the same noise each time, where a loss draws any
            return float(family.loss(family.forward(module, batch), batch))

    before, found = loss(), dict[str, float]()
    largest = sorted(weights(module).items(), key=lambda each: -each[1].numel())[:TENSORS]
    for name, weight in largest:
        with _rounded(weight):
            found[name] = loss() - before
    return found


@contextmanager
def _rounded(weight: torch.Tensor) -> Iterator[None]:
    kept = weight.detach().clone()
    scale = kept.abs().flatten(1).amax(1).clamp(min=1e-30).view(-1, *[1] * (kept.dim() - 1)) / (2 ** (BITS - 1) - 1)
    weight.data.copy_((kept / scale).round() * scale)
    try:
        yield
    finally:
        weight.data.copy_(kept)


def of_parts(parts: list[Part], found: Mapping[str, float], parameters: Mapping[str, Array]) -> dict[str, float]:
    """The sensitivities by the operators of a file: of each the greatest among its weights.

    A file has no names of ours to go by, and its weights may be turned, coded and scaled by a folded BatchNorm. What stays is
    a tensor's profile: its |values| over the largest of their output channel, sorted.
    """
    known = {name: (array.size, _profile(array, 0)) for name, array in parameters.items() if name in found}
    result = dict[str, float]()
    for part in parts:
        names = [name for weight in part.weights if (name := _match(weight, known))]
        if names:
            result[part.name] = max(found[name] for name in names)
    return result


def _match(weight: Weight, known: Mapping[str, tuple[int, Array]]) -> str | None:
    same = {name: profile for name, (size, profile) in known.items() if size == weight.values.size}
    values = np.squeeze(weight.values.astype(np.float32) - np.asarray(weight.zero, np.float32))
    if not same or values.ndim < 2:
        return None
    ours = [_profile(values, axis) for axis in (0, values.ndim - 1)]
    distances = {name: min(float(np.abs(each - profile).mean()) for each in ours) for name, profile in same.items()}
    nearest = min(distances, key=distances.__getitem__)
    return nearest if distances[nearest] < ALIKE or len(same) == 1 else None


def _profile(values: Array, axis: int) -> Array:
    rows = np.abs(np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.float32))
    largest = rows.max(axis=1, keepdims=True)
    shares = np.sort((rows / np.where(largest > 0, largest, 1)).ravel())
    profile: Array = shares[np.linspace(0, shares.size - 1, POINTS).astype(int)]
    return profile
