"""Spoken digits as sound itself: the samples of FSDD's recordings, one after the other, to learn to speak them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, final

import numpy as np
from annotated_types import Ge, Le

from models.data._images import digest
from models.data.fsdd import SAMPLES, Fsdd
from models.tasks import _mu_law
from pipeline.core import Array, Arrays, Dataset, Domain, TensorSpec


@final
@dataclass(frozen=True)
class Spoken:
    """FSDD's recordings in its splits: `waveform` int16 [N, samples] at 8 kHz, `start` int64 [N], `label` int64 [N], the digit.

    A model gets `codes` int64 [N, samples]: recordings that all end with the last code, each as loud as all others (its largest
    sample is 1; their microphones differ a hundredfold), in the 256 levels of mu-law. Sound begins at `start`; the silence before
    it fills up, and nobody should be judged by it.
    Source: the files of the data set `fsdd` (Jackson et al., 2016-2020), which says where they come from; mu-law, ITU-T G.711.
    """

    samples: Annotated[int, Ge(256), Le(SAMPLES)] = 3072
    """The longest sound, 0.384 s; longer recordings lose their end."""

    licence: ClassVar[str] = Fsdd.licence
    made_of: ClassVar[tuple[str, ...]] = ("fsdd",)
    """The data set whose files it reads: it has none of its own."""
    downloads: ClassVar[tuple[()]] = ()

    def files(self, root: Path) -> list[Path]:
        """FSDD's recordings."""
        return Fsdd().files(root)

    def load(self, root: Path) -> Dataset:
        """Reads the recordings and cuts them."""
        splits = {name: self._cut(split) for name, split in Fsdd().load(root).splits.items()}
        targets = {"label": TensorSpec((1,), "int64"), "start": TensorSpec((1,), "int64")}
        domain = Domain("spoken", {"codes": TensorSpec((1, self.samples), "int64")}, classes=10, targets=targets)
        return Dataset(domain, splits, digest(splits["train"]), prepare=prepare)

    def _cut(self, split: Arrays) -> Arrays:
        waveform = split["waveform"][:, : self.samples]
        # FSDD fills recordings up to a second with zeros: the last sample that is none is where the sound ends.
        start = np.minimum((waveform[:, ::-1] != 0).argmax(axis=1), self.samples - 1)
        place = np.arange(self.samples) - start[:, None]
        at_end = np.where(place >= 0, np.take_along_axis(waveform, place.clip(min=0), axis=1), np.int16(0))
        return {"waveform": at_end, "start": start.astype(np.int64), "label": split["label"]}


def prepare(batch: Arrays) -> Arrays:
    """Raw `waveform` [N, samples] to `codes`; all else passes through."""
    return {"codes": codes(batch["waveform"]), **{name: batch[name] for name in batch if name != "waveform"}}


def codes(waveform: Array) -> Array:
    """Mu-law codes int64 of recordings [N, samples], the largest sample of each at full scale."""
    largest = np.abs(waveform.astype(np.float64)).max(axis=1, keepdims=True)
    return _mu_law.encode(waveform / np.maximum(largest, 1))
