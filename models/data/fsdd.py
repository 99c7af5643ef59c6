"""FSDD, the Free Spoken Digit Dataset: the ten digits in English, spoken by six people."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from models.data._download import Listed, folder, missing
from models.data._images import digest
from models.data._spectrogram import Mfcc, mfcc
from models.data._wav import read
from pipeline.core import Array, Arrays, Dataset, Domain, TensorSpec
from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch

RATE = 8000
"""Samples a second."""
SAMPLES = RATE
"""Of a clip: one second, with silence after its end. 20 of the 3000 recordings are longer and lose theirs."""
FEATURES = Mfcc(RATE, window=RATE * 40 // 1000, hop=RATE * 20 // 1000)
FRAMES = FEATURES.frames(SAMPLES)
# Mean and standard deviation of each coefficient over all frames of the 2400 training clips.
MEAN = np.array([-28.47, 2.76, 0.76, -0.37, -1.38, -0.74, -0.49, -0.27, -0.38, -0.20], np.float32)
STD = np.array([20.12, 5.36, 3.20, 2.41, 2.70, 2.17, 1.54, 1.28, 1.17, 1.08], np.float32)
SHIFT = 5
"""Frames (0.1 s) by which training moves a clip at most, to both sides."""
INDICES = {"test": range(5), "validation": range(5, 10), "train": range(10, 10_000)}
"""Which of a speaker's recordings of a digit are in a split; the test set is the authors'."""
CLASSES = 10
NAME = re.compile(r"([0-9])_([A-Za-z]+)_([0-9]{1,4})\.wav")
COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"


@final
@dataclass(frozen=True)
class Fsdd:
    """Spoken digits: `waveform` int16 [N, 8000] (one second at 8 kHz), `label` int64 [N], the digit.

    A model hears `spectrogram` float32 [N, 1, 49, 10]: ten standardised cepstral coefficients for every 20 ms. Of each
    speaker's 50 recordings of a digit the first 5 (index 0 to 4) are the test split, as the authors have it, the next 5
    (5 to 9) the validation split, the other 40 for training: 300, 300 and 2400 clips. All speakers are in all splits.
    Source: Z. Jackson et al., "Free Spoken Digit Dataset" (2016-2020), https://github.com/Jakobovski/free-spoken-digit-dataset.
    """

    licence: ClassVar[str] = "CC BY-SA 4.0 (Z. Jackson and the speakers)"
    folder: ClassVar[str] = "recordings"
    downloads: ClassVar[Listed] = Listed(
        Path(__file__).with_suffix(".sha256"),
        f"https://raw.githubusercontent.com/Jakobovski/free-spoken-digit-dataset/{COMMIT}/recordings",
    )

    def files(self, root: Path) -> list[Path]:
        """The recordings under `root/fsdd/recordings`: those that are there, some of each digit and split.

        By index first, so that whoever takes a split's first samples has all digits and speakers.
        """
        place = folder(root, "fsdd", self.folder)
        found = sorted(place.glob("*.wav"), key=_parts)
        if not found:
            raise missing(place / "*.wav", "fsdd", self.folder)
        if unfinished := next(place.glob("*.part"), None):
            raise UserError(f"{unfinished}: a download was interrupted; go on with it: `./edgepress data fetch fsdd`")
        there = {(digit, split) for index, digit, _ in map(_parts, found) for split in INDICES if index in INDICES[split]}
        for digit in range(CLASSES):
            for split, indices in INDICES.items():
                if (digit, split) not in there:
                    raise missing(place / f"{digit}_*_{indices[0]}.wav", "fsdd", self.folder)
        return found

    def load(self, root: Path) -> Dataset:
        """Reads the recordings."""
        splits: dict[str, Arrays] = {}
        paths = self.files(root)
        for split in ("train", "validation", "test"):
            chosen = [path for path in paths if _parts(path)[0] in INDICES[split]]
            label = np.array([_parts(path)[1] for path in chosen], dtype=np.int64)
            splits[split] = {"waveform": np.stack([_second(read(path, RATE)) for path in chosen]), "label": label}
        return Dataset(
            domain=Domain("fsdd", {"spectrogram": TensorSpec((1, 1, FRAMES, FEATURES.coefficients))}, classes=CLASSES),
            splits=splits,
            sha256=digest(splits["train"]),
            prepare=prepare,
            augment=partial(shifted, silence=features(np.zeros((1, SAMPLES), np.int16))[0, 0, 0]),
        )


def prepare(batch: Arrays) -> Arrays:
    """Raw `waveform` [N, 8000] to `spectrogram` float32 [N, 1, 49, 10]; all else passes through."""
    return {"spectrogram": features(batch["waveform"]), **{name: batch[name] for name in batch if name != "waveform"}}


def features(waveform: Array) -> Array:
    """Coefficients of mean 0 and standard deviation 1 over the training set, each by fixed constants."""
    return (mfcc(waveform, FEATURES) - MEAN) / STD


def shifted(batch: dict[str, torch.Tensor], generator: torch.Generator, silence: Array) -> dict[str, torch.Tensor]:
    """Moves each prepared clip by its own random number of frames, -SHIFT to SHIFT; silence [coefficients] comes in."""
    import torch

    spectrogram = batch["spectrogram"]
    drawn = torch.randint(2 * SHIFT + 1, (len(spectrogram),), generator=generator, device=generator.device)
    quiet = torch.from_numpy(silence).to(spectrogram.device).expand(len(spectrogram), 1, SHIFT, -1)
    padded = torch.cat([quiet, spectrogram, quiet], dim=2)
    frames = drawn.to(spectrogram.device)[:, None] + torch.arange(FRAMES, device=spectrogram.device)
    return {**batch, "spectrogram": padded.take_along_dim(frames[:, None, :, None], dim=2)}


def _parts(path: Path) -> tuple[int, int, str]:
    """Index, digit and speaker, which the file's name says."""
    if not (match := NAME.fullmatch(path.name)):
        raise UserError(f"{path}: found the name {path.name!r}, expected DIGIT_SPEAKER_INDEX.wav, such as 7_jackson_32.wav")
    return int(match[3]), int(match[1]), match[2]


def _second(samples: Array) -> Array:
    """The first second, filled up with silence."""
    return np.pad(samples[:SAMPLES], (0, max(0, SAMPLES - len(samples))))
