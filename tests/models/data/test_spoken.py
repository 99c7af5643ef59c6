"""Spoken digits as codes: all as loud, all ending at the end, and never anything else than the recordings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from models.data.fsdd import Fsdd
from models.data.spoken import Spoken
from models.tasks import _mu_law
from pipeline.core import Dataset
from pipeline.errors import UserError


@pytest.fixture(scope="module")
def dataset(synthetic_data: Path) -> Dataset:
    return Spoken().load(synthetic_data)


def test_a_sound_begins_at_its_start_and_ends_at_the_end(dataset: Dataset, synthetic_data: Path) -> None:
    whole = Fsdd().load(synthetic_data)
    for split, arrays in dataset.splits.items():
        np.testing.assert_array_equal(arrays["label"], whole.splits[split]["label"])
        for cut, start, row in zip(arrays["waveform"], arrays["start"], whole.splits[split]["waveform"], strict=True):
            assert not cut[:start].any() and cut[-1] != 0
            np.testing.assert_array_equal(cut[start:], row[: 3072 - start])
            assert start == 0 or not row[3072 - start :].any(), "only what is longer than the window loses its end"
    assert any(arrays["start"].any() for arrays in dataset.splits.values())


def test_every_sound_is_as_loud_as_can_be(dataset: Dataset) -> None:
    batch = dataset.batch("test", slice(0, 20))
    assert batch["codes"].min() >= 0 and batch["codes"].max() <= 255
    loudest = np.abs(_mu_law.decode(batch["codes"])).max(axis=1)
    assert (loudest > 0.98).all()
    for codes, start in zip(batch["codes"], batch["start"], strict=True):
        assert (codes[:start] == _mu_law.SILENCE).all()


def test_silence_is_a_sound_too(dataset: Dataset) -> None:
    assert (dataset.prepare({"waveform": np.zeros((1, 3072), np.int16)})["codes"] == _mu_law.SILENCE).all()


def test_missing_files_name_the_data_set_that_has_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"get it with `\./edgepress data fetch fsdd`"):
        Spoken().files(tmp_path)


@pytest.mark.skipif("EDGEPRESS_DATA" not in os.environ, reason="set EDGEPRESS_DATA to test the downloaded data sets")
def test_real_counts() -> None:
    dataset = Spoken().load(Path(os.environ["EDGEPRESS_DATA"]))
    assert [dataset.size(split) for split in ("train", "validation", "test")] == [2400, 300, 300]
    assert np.median(3072 - dataset.splits["test"]["start"]) == 3072
