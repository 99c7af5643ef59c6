"""How much a model minds when one of its weights is stored more coarsely."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.anatomy._parts import Part, Weight
from pipeline.compress._grid import nearest
from pipeline.compress._weights import weights
from pipeline.core import Array, Dataset, Family, Model, Progress

if TYPE_CHECKING:
    import torch

BITS = 4
SAMPLES = 256
NUMBERS = 10_000_000
"""Outputs at most that are compared: of a sound with logits for each of its thousands of samples a few say enough."""
TENSORS = 32
"""The largest ones; each costs a pass over the samples."""
BATCH = 256
ALIKE = 0.05
"""Mean difference of two tensors' profiles up to which they are one tensor: rounding to 4 bits moves it by less."""
POINTS = 256


def sensitivity(model: Model, data: Dataset) -> dict[str, float]:
    """By the parameter's name: the `errors` of at most 256 validation samples, that tensor at 4 bits; the largest 32."""
    found = weights(model.module)
    names = sorted(found, key=lambda name: -found[name].numel())[:TENSORS]
    lost = errors(model.module, model.family.build(), data, names, (BITS,), SAMPLES)
    return {name: float(row[0]) for name, row in zip(names, lost, strict=True)}


def errors(
    module: torch.nn.Module,
    family: Family,
    data: Dataset,
    names: Collection[str],
    widths: Sequence[int],
    samples: int,
    group: int | None = None,
    progress: Progress | None = None,
) -> Array:
    """[names, widths]: D = sum |y' - y|^2 / sum |y|^2, where y' are the outputs with that weight alone on a grid of so many bits.

    The inverse of what Lin et al. 2016, arXiv:1511.06393, call SQNR, measured on validation samples (training samples where
    there are none), fewer than `samples` where their outputs are more than `NUMBERS`. 0 where rounding changes nothing. Rises of
    the loss itself are often lost in their noise.
    """
    copied = copy.deepcopy(module).eval()
    found = weights(copied)
    outputs = sum(each.numel() for each in _outputs(copied, family, _batch(data, slice(0, 1))).values())
    count = min(samples, data.size(_split(data)), max(1, NUMBERS // max(1, outputs)))
    lost, whole = np.zeros((len(names), len(widths))), 0.0
    for start in range(0, count, BATCH):
        index = slice(start, min(start + BATCH, count))
        batch = _batch(data, index)
        wanted = _outputs(copied, family, batch)
        whole += sum(float(each.square().sum()) for each in wanted.values())
        for row, name in enumerate(names):
            if progress:
                progress((start + row / len(names) * (index.stop - start)) / count, 1, f"errors of {name}")
            kept = found[name].data
            for column, bits in enumerate(widths):
                found[name].data = nearest(kept, bits, group)
                made = _outputs(copied, family, batch)
                lost[row, column] += sum(float((made[key] - wanted[key]).square().sum()) for key in wanted)
            found[name].data = kept
    return lost / max(whole, np.finfo(np.float64).tiny)


def _split(data: Dataset) -> str:
    return "validation" if data.size("validation") else "train"


def _batch(data: Dataset, index: slice) -> dict[str, torch.Tensor]:
    import torch

    return {name: torch.from_numpy(array) for name, array in data.batch(_split(data), index).items()}


def _outputs(module: torch.nn.Module, family: Family, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the training pass gives, as in use: no dropout, running statistics, and the same noise each time."""
    import torch

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {name: each.double() for name, each in family.forward(module, batch).items() if each.is_floating_point()}


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
