from __future__ import annotations

import contextlib
import re
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data._wav import read
from pipeline.errors import UserError

RATE = 8000
RAMP = np.arange(-50, 50, dtype=np.int16)


def write(path: Path, samples: bytes = RAMP.astype("<i2").tobytes(), channels: int = 1, width: int = 2, rate: int = RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", "not compressed"))
        file.writeframes(samples)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(path, RATE)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_reads_the_samples(tmp_path: Path) -> None:
    samples = read(write(tmp_path / "a.wav"), RATE)
    assert samples.dtype == np.int16
    np.testing.assert_array_equal(samples, RAMP)


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ({"channels": 2}, "2 channels of 16-bit samples at 8000 Hz"),
        ({"width": 1}, "1 channel of 8-bit samples at 8000 Hz"),
        ({"width": 4}, "1 channel of 32-bit samples at 8000 Hz"),
        ({"rate": 44_100}, "1 channel of 16-bit samples at 44100 Hz"),
    ],
    ids=["stereo", "8 bit", "32 bit", "44.1 kHz"],
)
def test_another_form_is_one_line(form: dict[str, int], found: str, tmp_path: Path) -> None:
    assert f"found {found}, expected 1 channel of 16-bit samples at 8000 Hz" in refusal(write(tmp_path / "a.wav", **form))


@pytest.mark.parametrize("samples", [0, 80_001], ids=["empty", "too long"])
def test_a_recording_without_a_sensible_length_is_one_line(samples: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", bytes(2 * samples))
    assert f"declares {samples} samples, expected 1 to 80000 (10 seconds)" in refusal(path)


def test_a_length_that_is_a_lie_costs_no_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", 0xFFFFFFF0)  # the data chunk's size
    path.write_bytes(content)
    assert "expected 1 to 80000" in refusal(path)


def test_a_cut_recording_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes()[:-7])
    assert re.search(r"found 19[23] bytes of samples, expected 200 for the 100 it declares", refusal(path))


def test_floating_point_samples_are_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    content[20:22] = struct.pack("<H", 3)  # the format chunk's tag: IEEE float
    path.write_bytes(content)
    assert "no WAV file (unknown format: 3)" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"<html>not found</html>" * 3, b"RIFF\x24\0\0\0WAVE"])
def test_what_is_no_wav_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert "no WAV file" in refusal(path)


def test_a_folder_is_one_line(tmp_path: Path) -> None:
    assert "cannot be read (Is a directory)" in refusal(tmp_path)


@given(st.data())
def test_no_damage_is_worse_than_one_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = write(tmp_path_factory.mktemp("wav") / "a.wav")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 43))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(UserError):
        assert 0 < len(read(path, RATE)) <= 80_000
