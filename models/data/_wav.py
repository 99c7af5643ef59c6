"""Reads recordings: WAV files of one channel of 16-bit samples, which is how sets of speech and sounds are stored.

A file is never trusted: what its header says is checked before any sample is read, and that as many follow as it declares.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

LONGEST = 10
"""Seconds. Whatever claims to be longer is no recording of a word, and is refused before it is read."""


def read(path: Path, rate: int) -> NDArray[np.int16]:
    """The samples of a recording of `rate` hertz; a UserError in one line for a file that is anything else."""
    try:
        with wave.open(str(path), "rb") as file:
            form = (file.getnchannels(), 8 * file.getsampwidth(), file.getframerate())
            if form != (1, 16, rate):
                raise UserError(f"{path}: found {_form(*form)}, expected {_form(1, 16, rate)}")
            frames = file.getnframes()
            if not 0 < frames <= LONGEST * rate:
                raise UserError(f"{path}: declares {frames} samples, expected 1 to {LONGEST * rate} ({LONGEST} seconds)")
            content = file.readframes(frames)
    except (wave.Error, EOFError, RuntimeError) as error:  # a RuntimeError for chunks that do not fit into the file
        raise UserError(f"{path}: no WAV file ({str(error) or 'it ends early'}), expected {_form(1, 16, rate)}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}), expected a WAV file") from error
    if len(content) != 2 * frames:
        raise UserError(f"{path}: found {len(content)} bytes of samples, expected {2 * frames} for the {frames} it declares")
    return np.frombuffer(content, "<i2").astype(np.int16)


def _form(channels: int, bits: int, rate: int) -> str:
    return f"{channels} channel{'s' if channels != 1 else ''} of {bits}-bit samples at {rate} Hz"
