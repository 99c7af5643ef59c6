from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.data._images import Motion, Scale, digest, held_out, random_affine, standardise
from pipeline.core import Arrays
from pipeline.errors import UserError

SCALE = Scale(full=255, mean=0.25, std=0.5)
ROUNDING = 1e-4
"""Of bilinear resampling in float32 on an image of a few units, whose pixels are met only nearly at their centres."""


def labelled(*counts: int) -> Arrays:
    label = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    return {"image": np.arange(len(label)), "label": label}


def batch(size: int = 8, samples: int = 5) -> dict[str, torch.Tensor]:
    image = torch.from_numpy(
        standardise({"image": np.random.default_rng(0).integers(0, 256, (samples, 1, size, size))}, SCALE)["image"]
    )
    return {"image": image, "label": torch.arange(samples)}


def moved(motion: Motion, images: dict[str, torch.Tensor], seed: int = 0) -> dict[str, torch.Tensor]:
    return random_affine(images, torch.Generator().manual_seed(seed), motion, SCALE.background)


@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=6), part=st.floats(0, 1))
def test_a_split_takes_its_share_of_every_class_and_shares_nothing(counts: list[int], part: float) -> None:
    samples = labelled(*counts)
    total = sum(counts)
    held, rest = held_out(samples, count := int(part * (total - 1)), "test")
    assert len(held["label"]) == count
    assert sorted([*held["image"], *rest["image"]]) == list(range(total))
    taken, sizes = np.bincount(held["label"], minlength=len(counts)), np.array(counts)
    # Sainte-Lague: one share of all classes, rounded to whole samples, gives what was taken of each.
    assert ((taken - 0.5) / sizes).max() <= ((taken + 0.5) / sizes).min()


def test_a_split_is_the_same_everywhere() -> None:
    held, _ = held_out(labelled(30, 20), 5, "test")
    assert held["image"].tolist() == [9, 18, 26, 39, 44]


def test_a_smaller_split_lies_within_a_larger_one() -> None:
    samples = labelled(30, 20)
    small, large = (set(held_out(samples, count, "test")[0]["image"]) for count in (7, 19))
    assert small < large


def test_a_split_of_everything_is_refused() -> None:
    with pytest.raises(UserError, match=r"mnist: validation = 50 samples, but only 50 are there"):
        held_out(labelled(30, 20), 50, "mnist: validation")


def test_standardise_gives_float32_and_passes_the_rest_through() -> None:
    raw = {"image": np.array([0, 255], dtype=np.uint8), "label": np.array([3, 4])}
    prepared = standardise(raw, SCALE)
    assert prepared["image"].dtype == np.float32
    np.testing.assert_allclose(prepared["image"], [SCALE.background, 1.5], rtol=1e-6)
    assert prepared["label"] is raw["label"]
    assert raw["image"].tolist() == [0, 255]


def test_no_motion_changes_nothing() -> None:
    torch.testing.assert_close(moved(Motion(), batch())["image"], batch()["image"], atol=ROUNDING, rtol=0)


def test_a_motion_is_reproducible_and_leaves_its_input_alone() -> None:
    motion = Motion(degrees=12, zoom=0.12, shear=0.15, shift=2, flip=True)
    given_batch, before = batch(), batch()
    first, second = moved(motion, given_batch), moved(motion, given_batch)
    assert torch.equal(first["image"], second["image"])
    assert torch.equal(given_batch["image"], before["image"])
    assert not torch.equal(first["image"], moved(motion, given_batch, seed=1)["image"])
    assert first["image"].shape == before["image"].shape
    assert torch.equal(first["label"], before["label"])


def test_torchs_own_random_state_plays_no_part() -> None:
    before = torch.get_rng_state()
    moved(Motion(shift=1), batch())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_shift_moves_whole_pixels_and_fills_with_background() -> None:
    images = batch(samples=200)
    result = moved(Motion(shift=1), images)["image"]
    padded = torch.nn.functional.pad(images["image"], (1, 1, 1, 1), value=SCALE.background)
    shifted = torch.stack([padded[:, :, y : y + 8, x : x + 8] for y in range(3) for x in range(3)])
    distance = (shifted - result).abs().amax(dim=(2, 3, 4))
    assert distance.amin(dim=0).max() < ROUNDING  # each is one of the nine shifts
    assert len(set(distance.argmin(dim=0).tolist())) == 9  # and all of them happen


def test_a_flip_mirrors_some() -> None:
    images = batch(samples=50)
    result = moved(Motion(flip=True), images)["image"]
    kept = (result - images["image"]).abs().amax(dim=(1, 2, 3)) < ROUNDING
    mirrored = (result - images["image"].flip(3)).abs().amax(dim=(1, 2, 3)) < ROUNDING
    assert torch.equal(kept, ~mirrored)
    assert 10 < kept.sum() < 40


@pytest.mark.parametrize("motion", [Motion(degrees=12), Motion(zoom=0.12), Motion(shear=0.15)], ids=["degrees", "zoom", "shear"])
def test_a_blank_page_stays_blank(motion: Motion) -> None:
    blank = {"image": torch.full((20, 1, 28, 28), SCALE.background)}
    assert torch.equal(moved(motion, blank)["image"], blank["image"])


def test_a_rotation_stays_within_its_degrees() -> None:
    """A dot 10 pixels right of the centre ends on the circle, no further along it than 12 degrees."""
    dot = torch.zeros(300, 1, 29, 29)
    dot[:, :, 14, 24] = 1
    result = random_affine({"image": dot}, torch.Generator().manual_seed(0), Motion(degrees=12), background=0.0)["image"][:, 0]
    weight = result.sum(dim=(1, 2))
    places = torch.arange(29.0) - 14
    x = (result.sum(dim=1) * places).sum(dim=1) / weight
    y = (result.sum(dim=2) * places).sum(dim=1) / weight
    angle = torch.rad2deg(torch.atan2(y, x))
    half_pixel = 0.5  # a dot lies between pixels after the motion
    torch.testing.assert_close(torch.hypot(x, y), torch.full_like(x, 10), atol=half_pixel, rtol=0)
    assert angle.abs().max() < 12 + np.degrees(half_pixel / 10)
    assert angle.min() < -9
    assert angle.max() > 9


def test_a_digest_tells_name_type_shape_and_content_apart() -> None:
    array = np.arange(6, dtype=np.int64)
    variants: list[Arrays] = [
        {"a": array},
        {"b": array},
        {"a": array.astype(np.uint64)},
        {"a": array.reshape(2, 3)},
        {"a": array + 1},
        {"a": array, "b": array},
    ]
    assert len({digest(variant) for variant in variants}) == len(variants)
    assert digest({"a": array}) == digest({"a": np.arange(12, dtype=np.int64)[:6]})
