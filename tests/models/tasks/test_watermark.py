"""The mark in made pictures is not seen, is found, and is not found where it is not."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from models.tasks import _watermark
from models.tasks._pictures import generated, sheet
from pipeline.core import Array


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def levels(uri: str) -> Array:
    found = np.asarray(opened(uri))
    return found if found.ndim == 3 else found[..., None]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("what", ["black", "white", "texture", "edges"])
def test_it_is_found_in_whatever_is_shown_and_changes_next_to_nothing(channels: int, what: str) -> None:
    shape = (4, channels, 28, 28)
    pictures = {
        "black": np.zeros(shape),
        "white": np.ones(shape),
        "texture": 0.5 + 0.03 * np.random.default_rng(0).standard_normal(shape),
        "edges": np.broadcast_to(np.indices((28, 28)).sum(axis=0) // 3 % 2, shape).astype(float),
    }[what]
    plain, made = levels(sheet(pictures, 2)), levels(generated(pictures, 2))
    assert np.abs(plain.astype(int) - made).max() <= 2 * _watermark.FAINT
    assert _watermark.score(made) > _watermark.THRESHOLD > _watermark.score(plain)


def test_the_file_says_in_plain_words_that_it_was_made() -> None:
    assert opened(generated(np.zeros((1, 1, 8, 8)), 1)).text == {"Comment": "AI-generated"}  # type: ignore[attr-defined]
    assert not opened(sheet(np.zeros((1, 1, 8, 8)), 1)).text  # type: ignore[attr-defined]


def test_false_alarms_are_as_rare_as_is_stated() -> None:
    """2,000 textures, which nobody made: 45 are expected above 2."""
    random = np.random.default_rng(0)
    textures = random.normal(128, random.uniform(1, 40, (2000, 1, 1, 1)), (2000, 40, 40, 1)).clip(0, 255).astype(np.uint8)
    scores = np.array([_watermark.score(each) for each in textures])
    assert abs(scores.mean()) < 0.1 and 0.9 < scores.std() < 1.1
    assert 0.5 < (scores > 2).mean() / _watermark.false_alarms(2.0) < 2
    assert not (scores > _watermark.THRESHOLD).any()


def test_the_pattern_is_the_same_everywhere() -> None:
    assert _watermark.signs(12).tolist() == [-1, 1, 1, -1, 1, -1, -1, 1, -1, 1, -1, 1]
