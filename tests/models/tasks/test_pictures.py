"""What is shown to a person is what was made, as a file that every viewer reads."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from models.tasks._pictures import GAP, sheet


def opened(uri: str) -> np.ndarray:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_lie_side_by_side_row_by_row(channels: int) -> None:
    pictures = np.random.default_rng(0).random((5, channels, 3, 4))
    found = opened(sheet(pictures, columns=2, enlarged=2)).reshape(3 * 6 + 2 * GAP, 2 * 8 + GAP, channels)
    for number, picture in enumerate(pictures):
        top, left = number // 2 * (6 + GAP), number % 2 * (8 + GAP)
        shown = found[top : top + 6 : 2, left : left + 8 : 2]
        np.testing.assert_array_equal(shown, np.round(255 * picture).transpose(1, 2, 0))
    assert (found[-6:, -8:] == 255).all(), "where no picture is left the sheet is white"


def test_what_is_no_brightness_is_shown_as_the_nearest() -> None:
    strange = np.array([-3.0, 7.0, np.nan, np.inf]).reshape(1, 1, 1, 4)
    assert opened(sheet(strange, 1, enlarged=1)).tolist() == [[0, 255, 0, 255]]
