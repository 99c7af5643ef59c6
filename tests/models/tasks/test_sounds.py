"""Sounds that are made can be played and tell what they are; sounds that are not made do not."""

from __future__ import annotations

import base64
import io
import os
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import kstest

from models.tasks import _mu_law
from models.tasks._sounds import PERIOD, THRESHOLD, generated, marked, recorded, score, wav
from pipeline.core import Array, Spec

RATE = 8000


def samples(uri: str) -> Array:
    """Of the file in a data: URI, as any player reads it."""
    with wave.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:audio/wav;base64,")))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767


def spoken(seed: int, length: int = 3000) -> Array:
    """Like speech: pulses and noise through resonances, swelling and fading."""
    random = np.random.default_rng(seed)
    driven = random.normal(0, 0.02, length) + (np.arange(length) % random.integers(40, 100) == 0)
    sound = lfilter([1.0], [1.0, -2 * 0.95 * np.cos(random.uniform(0.3, 1.2)), 0.95**2], driven)
    return np.asarray(sound / np.abs(sound).max() * np.hanning(length))


def test_a_recording_comes_back_as_it_was() -> None:
    sound = spoken(0)
    assert np.abs(samples(recorded(sound, RATE)) - sound).max() <= 0.5 / 32767 + 1e-9
    assert samples(recorded(np.array([2.0, -2.0, np.nan]), RATE)).tolist() == [1.0, -1.0, 0.0]


@pytest.mark.parametrize("comment", [b"AI-generated", b"odd"])
def test_the_comment_is_where_readers_of_the_format_look(comment: bytes) -> None:
    file = wav(np.zeros(5), RATE, comment)
    assert struct.unpack("<I", file[4:8])[0] == len(file) - 8
    place = file.index(b"LIST")
    assert place % 2 == 0 and file[place + 8 : place + 16] == b"INFOICMT"
    (size,) = struct.unpack("<I", file[place + 16 : place + 20])
    assert file[place + 20 : place + 20 + size].rstrip(b"\0") == comment and place + 20 + size == len(file)
    assert b"LIST" not in wav(np.zeros(5), RATE)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_made_is_known_again_and_sounds_the_same(seed: int) -> None:
    sound = spoken(seed)
    made = samples(generated(sound, RATE))
    assert score(made) > THRESHOLD > score(samples(recorded(sound, RATE)))
    assert np.square(made - sound).mean() < 0.01 * np.square(sound).mean(), "20 dB below the sound at least"
    assert b"AI-generated" in base64.b64decode(generated(sound, RATE).split(",")[1])


@pytest.mark.parametrize(
    "change",
    [
        lambda sound: 0.1 * sound,
        lambda sound: sound[777:],
        lambda sound: _mu_law.decode(_mu_law.encode(sound)),
        lambda sound: sound + np.random.default_rng(0).normal(0, 0.003, len(sound)),
    ],
    ids=["quieter", "cut", "mu-law", "noise"],
)
def test_the_mark_survives(change) -> None:
    assert score(change(marked(spoken(1)))) > THRESHOLD


def test_nothing_is_not_made() -> None:
    assert score(np.zeros(2000)) == 0
    assert not marked(np.zeros(2000)).any()
    assert score(marked(np.ones(1))) < THRESHOLD, "one sample says nothing"


def largest_of_normal(value: Array) -> Array:
    """Chance that the largest of PERIOD standard normal numbers is at most this."""
    from scipy.stats import norm

    return np.asarray(norm.cdf(value) ** PERIOD)


def test_false_alarms_are_no_more_than_those_of_normal_numbers() -> None:
    found = np.array([score(spoken(seed // 3, 4500)[seed % 3 * 1500 :][:1500]) for seed in range(300)])
    # "less": only larger scores than promised count. Neighbouring shifts are alike, so that the scores are a little smaller.
    assert kstest(found, largest_of_normal, alternative="less").pvalue > 0.001
    assert found.max() < THRESHOLD


@pytest.mark.skipif("EDGEPRESS_DATA" not in os.environ, reason="set EDGEPRESS_DATA to test the downloaded data sets")
def test_recordings_of_people_raise_no_alarm() -> None:
    waveform = Spec("data", "fsdd").build().load(Path(os.environ["EDGEPRESS_DATA"])).splits["train"]["waveform"]
    found = np.array([score(row / 32768) for row in waveform[:, :2048].reshape(-1, 1024)[:1000]])
    assert found.max() < THRESHOLD
    # Speech has more large values than independent numbers would, but hardly more.
    assert np.mean(largest_of_normal(found) > 0.99) < 0.03
