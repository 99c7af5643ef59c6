"""Train on what is normal alone; what is judged is mixed, always the same, and shows no picture twice."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from models.data.fashion_anomalies import DAMAGES, FashionAnomalies, blur, inversion, noise, occlusion, pixelation
from models.tasks.anomaly import KINDS
from pipeline.core import Dataset
from pipeline.errors import UserError
from tests.synthetic import fashion_anomalies


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    fashion_anomalies.write(folder)
    return folder


@pytest.fixture(scope="module")
def dataset(root: Path) -> Dataset:
    return FashionAnomalies(held=60).load(root)


def counts(dataset: Dataset, split: str) -> list[int]:
    return np.bincount(dataset.splits[split]["kind"], minlength=len(KINDS)).tolist()


def test_training_is_normal_and_a_small_test_file_is_shared_out(dataset: Dataset) -> None:
    assert counts(dataset, "train") == [5000, 0, 0, 0, 0, 0, 0]
    assert counts(dataset, "validation") == [60, 60, 0, 0, 0, 0, 0]
    assert counts(dataset, "test") == [11, 40, 5, 5, 5, 5, 5]


def test_the_kinds_have_the_judges_names() -> None:
    assert tuple(damage.__name__ for damage in DAMAGES) == KINDS[2:]


def test_whoever_takes_the_first_few_gets_several_kinds(dataset: Dataset) -> None:
    assert set(dataset.splits["validation"]["kind"][:16]) == {0, 1}


def test_no_clothes_are_in_two_splits(dataset: Dataset) -> None:
    normal = [image.tobytes() for arrays in dataset.splits.values() for image in arrays["image"][arrays["kind"] == 0]]
    assert len(set(normal)) == len(normal) == 5000 + 60 + 11


def test_missing_files_name_the_data_set_that_has_them(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"get it with `\./edgepress data fetch fashion_mnist`"):
        FashionAnomalies().files(tmp_path)
    (tmp_path / "fashion_mnist").symlink_to(root / "fashion_mnist")
    with pytest.raises(UserError, match=r"get it with `\./edgepress data fetch mnist`"):
        FashionAnomalies().files(tmp_path)


def test_more_held_than_there_is_says_so(root: Path) -> None:
    with pytest.raises(UserError, match="fashion_anomalies: held = 6000 samples, but only 5060 are there"):
        FashionAnomalies(held=6000).load(root)


def test_damages_do_what_they_say() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28), dtype=np.uint8)
    for damage in DAMAGES:
        made = damage(image)
        assert (made.shape, made.dtype) == (image.shape, image.dtype)
        np.testing.assert_array_equal(made, damage(image))
        assert (made != image).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(inversion(inversion(image)), image)
    changed = occlusion(image) != image
    assert not changed[:, :, :8].any() and changed[:, :, 8:20, 8:20].mean() > 0.98
    assert len(np.unique(pixelation(image)[0, 0])) <= 49
    assert blur(np.full((1, 1, 28, 28), 200, np.uint8))[0, 0, 14, 14] == 200
    assert blur(np.full((1, 1, 28, 28), 200, np.uint8))[0, 0, 0, 0] == 72  # 9 of 25 pixels are inside


def test_noise_is_gaussian() -> None:
    from scipy.stats import kurtosis

    added = noise(np.full((50, 1, 28, 28), 128, np.uint8)).astype(np.float64) - 128
    assert abs(added.mean()) < 1
    assert added.std() == pytest.approx(0.15 * 255, rel=0.02)
    assert abs(kurtosis(added.ravel())) < 0.15  # a sum of twelve uniform numbers has -0.1


@pytest.mark.skipif("EDGEPRESS_DATA" not in os.environ, reason="set EDGEPRESS_DATA to test the downloaded data sets")
def test_real_counts() -> None:
    dataset = FashionAnomalies().load(Path(os.environ["EDGEPRESS_DATA"]))
    assert counts(dataset, "train") == [57_500, 0, 0, 0, 0, 0, 0]
    assert counts(dataset, "validation") == [2500, 2500, 0, 0, 0, 0, 0]
    assert counts(dataset, "test") == [2500, 2500, 1250, 1250, 1250, 1250, 1250]
