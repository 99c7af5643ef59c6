from __future__ import annotations

import hashlib
import os
import re
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from models.data.fsdd import FRAMES, MEAN, SHIFT, STD, Fsdd, features, prepare
from pipeline.core import Array
from pipeline.errors import UserError


def write(path: Path, samples: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Recordings of one speaker: every digit once for the test, once for validation and twice to train."""
    place = tmp_path / "fsdd/recordings"
    for digit in range(10):
        for index in (0, 5, 10, 49):
            write(place / f"{digit}_ada_{index}.wav", np.full(1000 * (digit + 1), 100 * digit + index + 1))
    return place


def root(place: Path) -> Path:
    return place.parent.parent


def refusal(place: Path) -> str:
    with pytest.raises(UserError) as caught:
        Fsdd().load(root(place))
    return str(caught.value)


def test_the_name_says_digit_and_split(place: Path) -> None:
    splits = Fsdd().load(root(place)).splits
    assert splits["test"]["label"].tolist() == list(range(10))
    assert sorted(splits["train"]["label"]) == [digit for digit in range(10) for _ in range(2)]
    assert {split: set((arrays["waveform"][:, 0] - 1) % 100) for split, arrays in splits.items()} == {
        "train": {10, 49},
        "validation": {5},
        "test": {0},
    }


def test_a_clip_is_one_second_from_the_recordings_start(place: Path) -> None:
    waveform = Fsdd().load(root(place)).splits["test"]["waveform"]
    assert (waveform.dtype, waveform.shape) == (np.int16, (10, 8000))
    assert [int(np.count_nonzero(clip)) for clip in waveform] == [1000 * digit for digit in range(1, 8)] + [8000] * 3
    assert waveform[:, 0].all()


def test_any_beginning_of_a_split_has_all_digits(place: Path) -> None:
    write(place / "3_ada_9.wav", np.ones(10))
    names = [path.name for path in Fsdd().files(root(place))]
    assert names[8:12] == ["8_ada_0.wav", "9_ada_0.wav", "0_ada_5.wav", "1_ada_5.wav"]
    assert names[20] == "3_ada_9.wav"  # indices are numbers: 9 comes before 10
    assert names[21] == "0_ada_10.wav"
    labels = Fsdd().load(root(place)).splits["train"]["label"]
    assert labels.tolist() == [*range(10)] * 2


def test_other_files_beside_the_recordings_do_not_matter(place: Path) -> None:
    (place / "README.md").write_text("Spoken digits.")
    assert len(Fsdd().files(root(place))) == 40


@pytest.mark.parametrize("name", ["seven.wav", "7_ada.wav", "77_ada_0.wav", "7_ada_0_1.wav", "7_ada_12345.wav", "7__0.wav"])
def test_a_name_that_says_nothing_is_one_line(name: str, place: Path) -> None:
    write(place / name, np.ones(10))
    assert f"found the name '{name}', expected DIGIT_SPEAKER_INDEX.wav, such as 7_jackson_32.wav" in refusal(place)


@pytest.mark.parametrize("gone", ["9_ada_0.wav", "0_ada_5.wav"])
def test_a_split_without_some_digit_is_missing_it(gone: str, place: Path) -> None:
    (place / gone).unlink()
    pattern = re.escape(gone.replace("ada", "*"))
    assert re.search(rf"{pattern} is missing; get it with `\./edgepress data fetch fsdd`.*fsdd/recordings/", refusal(place))


def test_an_interrupted_download_is_no_data_set(place: Path) -> None:
    (place / "9_ada_50.wav.part").touch()
    assert "9_ada_50.wav.part: a download was interrupted" in refusal(place)


def test_a_bad_recording_is_named(place: Path) -> None:
    write(place / "4_ada_10.wav", np.ones(0))
    assert re.search(r"4_ada_10\.wav: declares 0 samples", refusal(place))


def test_prepare_passes_the_rest_through(place: Path) -> None:
    batch = Fsdd().load(root(place)).splits["test"]
    prepared = prepare(batch)
    assert list(prepared) == ["spectrogram", "label"]  # the model's input first
    assert prepared["label"] is batch["label"]
    assert prepared["spectrogram"].dtype == np.float32


def test_training_moves_clips_by_whole_frames_into_silence(place: Path) -> None:
    dataset = Fsdd().load(root(place))
    assert dataset.augment is not None
    silence = features(np.zeros((1, 8000), np.int16))[0, 0, 0]
    clip = np.random.default_rng(0).normal(size=(1, 1, FRAMES, len(silence))).astype(np.float32)
    batch = {"spectrogram": torch.from_numpy(clip).repeat(300, 1, 1, 1), "label": torch.arange(300)}
    result = dataset.augment(batch, torch.Generator().manual_seed(0))
    assert torch.equal(result["label"], batch["label"])
    border = np.broadcast_to(silence, (1, 1, SHIFT, len(silence)))
    padded = np.concatenate([border, clip, border], axis=2)
    expected = {padded[0, 0, start : start + FRAMES].tobytes() for start in range(2 * SHIFT + 1)}
    assert {moved[0].tobytes() for moved in result["spectrogram"].contiguous().numpy()} == expected


def test_its_list_of_downloads_is_complete() -> None:
    downloads = Fsdd.downloads
    expected = [f"{digit}_{speaker}_{index}.wav" for digit in range(10) for speaker in SPEAKERS for index in range(50)]
    assert [download.file for download in downloads] == expected
    assert sum(download.bytes for download in downloads) == 2 * 10_498_424 + 44 * 3000  # samples and headers


SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def test_real_data_is_what_is_declared_and_standardised() -> None:
    data = os.environ.get("EDGEPRESS_DATA")
    if data is None:
        pytest.skip("set EDGEPRESS_DATA to test the downloaded data sets")
    dataset = Fsdd().load(Path(data))
    assert {split: dataset.size(split) for split in dataset.splits} == {"train": 2400, "validation": 300, "test": 300}
    assert dataset.sha256 == "7c5878cbc9076919bed083928330a7fd58fd15ae51adc07b2411b6418a787d10"
    prepared = dataset.batch("train", slice(None))["spectrogram"]
    np.testing.assert_allclose(prepared.mean(axis=(0, 1, 2), dtype=np.float64), 0, atol=0.005 / STD.min())  # two digits
    np.testing.assert_allclose(prepared.std(axis=(0, 1, 2), dtype=np.float64), 1, atol=0.01)
    paths = {path.name: path for path in Fsdd().files(Path(data))}
    assert len(paths) == 3000
    for download in Fsdd.downloads[::300]:
        path = paths[download.file]
        assert path.stat().st_size == download.bytes
        assert hashlib.sha256(path.read_bytes()).hexdigest() == download.sha256
    assert (MEAN.dtype, STD.dtype) == (np.float32, np.float32)
