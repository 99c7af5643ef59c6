"""A data set that is not what its domain says is refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.core import Array, Dataset, Domain, TensorSpec
from pipeline.dataset_check import check
from pipeline.errors import UserError

DOMAIN = Domain("points", {"image": TensorSpec((1, 1, 8, 8))}, classes=2)


def split(count: int = 4, side: int = 8, kind: Any = np.float32) -> dict[str, Array]:
    return {"image": np.zeros((count, 1, side, side), kind), "label": np.zeros(count, np.int64)}


def test_what_fits_passes_and_a_validation_may_be_empty() -> None:
    check(Dataset(DOMAIN, {"train": split(), "validation": split(0), "test": split()}, ""), "own.py")  # raises what does not fit


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"train": split(0), "test": split()}, "own.py: train: no samples; at least 1 is needed"),
        ({"train": split()}, "own.py: test: no samples; at least 1 is needed"),
        ({"train": split(side=9), "test": split()}, r"train: image of a sample is float32 \[1, 9, 9\], its domain says .*8, 8"),
        ({"train": split(), "test": split(kind=np.float64)}, "test: image of a sample is float64"),
        ({"train": {**split(), "label": np.zeros(3)}, "test": split()}, "train: 4 of image, 3 of label; every array needs"),
    ],
)  # fmt: skip
def test_what_does_not_is_one_line(splits: dict[str, dict[str, Array]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check(Dataset(DOMAIN, splits, ""), "own.py")
