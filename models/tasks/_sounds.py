"""Sounds to be listened to, as WAV files in data: URIs; those that a model made say so. Numpy and the standard library only.

A made sound says it twice: in the file's comment, and by a mark in the samples, which survives another format, another loudness
and the loss of its beginning. The mark is the pattern of `_watermark`, again and again, at a fraction of what linear prediction
leaves of the sound, which is noise to the ear anyway.
"""

from __future__ import annotations

import base64
import io
import struct
import wave

import numpy as np

from models.tasks import _linear_prediction, _watermark
from pipeline.core import Array

COMMENT = b"AI-generated"
PERIOD = 1024
"""Samples after which the mark begins again."""
LOUDNESS = 0.25
"""Of the mark, over the mean absolute error of linear prediction: 12 dB below it."""
THRESHOLD = 6.0
"""A score above it says that a sound was made: of sounds that were not, about one in a million has it."""


def recorded(waveform: Array, rate: int) -> str:
    """Samples [T] from -1 to 1, as they are: "data:audio/wav;base64,...".

    >>> recorded(np.zeros(1), 8000)[:34]
    'data:audio/wav;base64,UklGRiYAAABX'
    """
    return "data:audio/wav;base64," + base64.b64encode(wav(waveform, rate)).decode()


def generated(waveform: Array, rate: int) -> str:
    """Samples [T] from -1 to 1 that a model made, marked."""
    return "data:audio/wav;base64," + base64.b64encode(wav(marked(waveform), rate, COMMENT)).decode()


def marked(waveform: Array) -> Array:
    """Samples [T] with the mark in them."""
    _, predicted = _linear_prediction.fit(waveform)
    loudness = LOUDNESS * np.abs(waveform - predicted).mean()
    made: Array = (waveform + loudness * np.resize(_watermark.signs(PERIOD), len(waveform))).clip(-1, 1)
    return made


def score(waveform: Array) -> float:
    """How surely the mark is in samples [T] of any loudness, begun anywhere.

    The signs of what linear prediction leaves (so that loud places count no more than others) are filtered backwards by the
    predictor and correlated with the mark at every shift. A sound that was not made knows nothing of the mark's signs, so that
    each correlation over its standard deviation is about a standard normal number, and the score the largest of PERIOD.

    >>> f"{PERIOD * _watermark.false_alarms(THRESHOLD):.0e}"
    '1e-06'
    """
    coefficients, predicted = _linear_prediction.fit(waveform)
    taps = np.concatenate([-coefficients, [1.0]])
    left = np.convolve(np.sign(waveform - predicted), taps)[len(coefficients) :]
    folded = np.pad(left, (0, -len(left) % PERIOD)).reshape(-1, PERIOD).sum(axis=0)
    shifts = np.fft.irfft(np.fft.rfft(folded) * np.conj(np.fft.rfft(_watermark.signs(PERIOD))), PERIOD)
    return float(shifts.max() / max(float(np.linalg.norm(left)), np.finfo(np.float64).tiny))


def wav(waveform: Array, rate: int, comment: bytes = b"") -> bytes:
    """A file of one channel of 16-bit samples; a comment goes into an INFO list ("Multimedia Programming Interface", 1991)."""
    samples = np.round(32767 * np.nan_to_num(waveform).clip(-1, 1)).astype("<i2")
    with io.BytesIO() as file:
        with wave.open(file, "wb") as writer:
            writer.setparams((1, 2, rate, len(samples), "NONE", "not compressed"))
            writer.writeframes(samples.tobytes())
        if comment:
            ended = comment + b"\0" * (2 - len(comment) % 2)  # a text ends with a zero, a chunk at an even place
            file.write(_chunk(b"LIST", b"INFO" + _chunk(b"ICMT", ended)))
            size = file.tell() - 8
            file.seek(4)
            file.write(struct.pack("<I", size))
        return file.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body
