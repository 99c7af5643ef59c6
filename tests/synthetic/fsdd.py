"""Made-up spoken digits: a tone for each, between two silences; 120 clips to train, 20 to validate, 20 to test."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

RATE = 8000


def write(root: Path) -> None:
    """Recordings of two speakers in `root/fsdd/recordings`."""
    folder = root / "fsdd/recordings"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for digit in range(10):
        for speaker in ("ada", "bob"):
            for index in (0, 5, *range(10, 16)):  # test, validation, train
                time = np.arange(rng.integers(1500, 5000)) / RATE
                tone = np.sin(2 * np.pi * (300 + 350 * digit) * time) * np.hanning(len(time)) + rng.normal(0, 0.01, len(time))
                samples = (tone * rng.uniform(1_000, 20_000)).astype("<i2")
                with wave.open(str(folder / f"{digit}_{speaker}_{index}.wav"), "wb") as file:
                    file.setparams((1, 2, RATE, len(samples), "NONE", "not compressed"))
                    file.writeframes(samples.tobytes())
