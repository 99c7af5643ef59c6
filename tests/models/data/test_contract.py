"""Every data set of models/data keeps the promises that the pipeline relies on."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch

from pipeline import registry
from pipeline.core import Dataset
from pipeline.dataset_check import check
from pipeline.errors import UserError

NAMES = registry.names("data")


def loaded(name: str) -> Dataset:
    source = registry.find("data", name)
    root = os.environ.get("EDGEPRESS_DATA")
    if (source.downloads or getattr(source, "made_of", ())) and root is None:
        pytest.skip(f"set EDGEPRESS_DATA to the folder that holds {name}/files")
    try:
        dataset: Dataset = source().load(Path(root or "unused"))
    except UserError as error:
        if "is missing; get it with" not in str(error):
            raise
        pytest.skip(str(error))  # a data root need not hold every set
    return dataset


@pytest.mark.parametrize("name", NAMES)
def test_is_a_frozen_dataclass_that_states_licence_and_origin(name: str) -> None:
    source: Any = registry.find("data", name)
    assert source.__dataclass_params__.frozen
    source()  # every option has a default
    assert source.licence
    assert "Source:" in (source.__doc__ or "")
    for download in source.downloads:
        assert urlsplit(download.url).scheme in {"http", "https"}
        assert download.file == Path(download.file).name
        assert re.fullmatch("[0-9a-f]{64}", download.sha256)
        assert download.bytes > 0
    assert len({download.file for download in source.downloads}) == len(source.downloads)


@pytest.mark.parametrize("name", NAMES)
def test_missing_files_name_the_command_that_gets_them(name: str, tmp_path: Path) -> None:
    source = registry.find("data", name)
    if not (source.downloads or getattr(source, "made_of", ())):
        assert all(path.is_file() for path in source().files(tmp_path))
        return
    whose = "|".join(getattr(source, "made_of", (name,)))  # the sets that it is made of, where it has no files of its own
    for call in (source().files, source().load):
        with pytest.raises(UserError, match=rf"is missing; get it with `\./edgepress data fetch ({whose})`.*EDGEPRESS_DATA"):
            call(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_loads_three_splits_that_fit_the_domain(name: str) -> None:
    dataset = loaded(name)
    assert set(dataset.splits) == {"train", "validation", "test"}
    assert dataset.domain.name == name
    check(dataset, name)


@pytest.mark.parametrize("name", NAMES)
def test_loads_the_same_again(name: str) -> None:
    first, second = loaded(name), loaded(name)
    assert first.sha256 == second.sha256
    assert re.fullmatch("[0-9a-f]{64}", first.sha256)
    for split, arrays in first.splits.items():
        for field, array in arrays.items():
            np.testing.assert_array_equal(array, second.splits[split][field])


@pytest.mark.parametrize("name", NAMES)
def test_augmentation_is_reproducible_and_keeps_shapes(name: str) -> None:
    dataset = loaded(name)
    if dataset.augment is None:
        return
    batch = {field: torch.from_numpy(array) for field, array in dataset.batch("train", np.arange(16)).items()}
    first, second = (dataset.augment(batch, torch.Generator().manual_seed(7)) for _ in range(2))
    assert set(first) == set(batch)
    for field, tensor in batch.items():
        assert torch.equal(first[field], second[field])
        assert first[field].shape == tensor.shape
        assert first[field].dtype == tensor.dtype
