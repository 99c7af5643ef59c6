"""A data set is what its domain says: refused before anything is trained or calibrated on it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.core import Dataset, Spec
from pipeline.errors import UserError

NEEDED = ("train", "test")
"""Splits that must hold samples: what trains and calibrates, and what judges."""


@contextmanager
def blamed(source: Spec) -> Iterator[None]:
    """Whatever a user's own file raises meanwhile becomes a UserError that names its line; our own sets' bugs stay bugs."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # any: it is not our code, and what is ours goes on below
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == source.name]
        if not lines:
            raise
        raise UserError(f"{source.name}:{lines[-1]}: {type(error).__name__}: {error}") from error


def check(data: Dataset, where: str) -> None:
    """UserError for a split that is empty or uneven, and for samples that are not of the domain's shape and type."""
    for split in NEEDED:
        if split not in data.splits or not data.splits[split] or not data.size(split):
            raise UserError(f"{where}: {split}: no samples; at least 1 is needed")
    for split, arrays in data.splits.items():
        sizes = {name: len(array) for name, array in arrays.items()}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{size:,} of {name}" for name, size in sizes.items())
            raise UserError(f"{where}: {split}: {told}; every array needs a row a sample")
        if data.size(split):
            _check_sample(data, split, f"{where}: {split}")


def _check_sample(data: Dataset, split: str, where: str) -> None:
    """The first sample; a set is an array a name, so the others are like it."""
    domain, sample = data.domain, data.batch(split, slice(0, 1))
    for name, spec in {**domain.inputs, **domain.targets}.items():
        if name not in sample:
            raise UserError(f"{where}: {name}, which its domain names, is missing; found {', '.join(sorted(sample))}")
        found = sample[name]
        if found.shape[1:] != spec.shape[1:] or str(found.dtype) != spec.dtype:
            said = f"{spec.dtype} {list(spec.shape[1:])}"
            raise UserError(f"{where}: {name} of a sample is {found.dtype} {list(found.shape[1:])}, its domain says {said}")
