"""A stylizer learns a pattern's style through an eye that is neither trained nor deployed."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from models import _perception, _style
from models._eye import eye
from models.style_transfer import StyleTransfer
from pipeline.core import Domain, TensorSpec
from pipeline.errors import UserError

DOMAIN = Domain("cifar10", {"image": TensorSpec((1, 3, 32, 32))}, classes=10, pixels=(-1.9, 2.1))
FAMILY = StyleTransfer(channels=8, blocks=1)
PIXELS = (-1.9, 2.1)


def painted(style: _style.Style) -> torch.Tensor:
    picture = torch.from_numpy(_style.picture(style, 32, 32, 3))[None]
    return PIXELS[0] + (PIXELS[1] - PIXELS[0]) * picture


def noise(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 4 - 1.9


def test_a_gram_matrix_tells_what_is_found_together_in_a_window_and_not_where() -> None:
    found = torch.rand(2, 3, 8, 12)
    windows = [found[:, :, y : y + 4, x : x + 6] for y in (0, 2, 4) for x in (0, 3, 6)]
    wanted = torch.stack([torch.einsum("nihw,njhw->nij", each, each) / 24 for each in windows], 1)
    torch.testing.assert_close(_perception.gram(found), wanted)
    torch.testing.assert_close(_perception.gram(found.flip(3)), wanted[:, [2, 1, 0, 5, 4, 3, 8, 7, 6]])


def test_a_picture_in_a_painted_frame_is_no_painted_picture() -> None:
    goal = _perception.wanted("cifar10", "waves", noise(), PIXELS)
    framed = painted("waves")
    framed[..., 6:26, 6:26] = noise(1)[..., 6:26, 6:26]
    seen = (_perception.seen("cifar10", each) for each in (painted("waves"), framed, noise(1)))
    whole, frame, nothing = (float(_perception.style_loss(each, goal)) for each in seen)
    assert whole < 0.2 * frame and frame > 0.2 * nothing


def test_a_style_is_nearest_to_itself() -> None:
    goal = _perception.wanted("cifar10", "waves", noise(), PIXELS)
    own = _perception.style_loss(_perception.seen("cifar10", painted("waves")), goal)
    others = _perception.style_loss(_perception.seen("cifar10", torch.cat([painted("mosaic"), noise()])), goal)
    assert float(own) < 0.02, "its windows are nearly alike"
    assert float(others.min()) > 0.05


def test_content_is_lost_where_features_move() -> None:
    given = _perception.seen("cifar10", noise())
    assert _perception.content_loss(given, given).tolist() == [0, 0]
    turned = _perception.seen("cifar10", noise().flip(2))
    assert float(_perception.content_loss(turned, given).min()) > 0.01


def test_the_loss_weighs_style_and_content() -> None:
    torch.manual_seed(0)
    batch = {"image": noise(), "label": torch.zeros(2)}
    found = FAMILY.forward(FAMILY.build(DOMAIN), batch)
    style, content = found["style"].mean(), found["content"].mean()
    for weights in ((1.0, 0.0), (0.0, 1.0), (3.0, 0.5)):
        loss = StyleTransfer(style_weight=weights[0], content_weight=weights[1]).loss(found, batch)
        torch.testing.assert_close(loss, weights[0] * style + weights[1] * content)


def test_the_eye_passes_gradients_and_keeps_its_weights() -> None:
    torch.manual_seed(0)
    module = FAMILY.build(DOMAIN).train()
    before = {name: tensor.clone() for name, tensor in eye("cifar10").state_dict().items()}
    batch = {"image": noise(), "label": torch.zeros(2)}
    FAMILY.loss(FAMILY.forward(module, batch), batch).backward()
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in module.parameters())
    after = eye("cifar10").state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items()), "not even running means move"
    assert all(each.grad is None for each in eye("cifar10").parameters())


def test_what_is_deployed_is_the_stylizer_alone() -> None:
    module = FAMILY.build(DOMAIN)
    assert not any("classifier" in name for name in module.state_dict())
    (graph,) = FAMILY.graphs(module, DOMAIN).values()
    assert graph.module is module
    made = module(100 * noise()).detach()
    assert made.shape == (2, 3, 32, 32)
    assert PIXELS[0] <= float(made.min()) and float(made.max()) <= PIXELS[1], "every pixel can be shown"


@pytest.mark.parametrize("style", get_args(_style.Style))
def test_a_pattern_has_strong_colours_and_any_size(style: _style.Style) -> None:
    pattern = _style.picture(style, 32, 48, 3)
    assert pattern.shape == (3, 32, 48) and pattern.dtype == np.float32 and pattern.min() >= 0 and pattern.max() <= 1
    assert np.ptp(pattern, axis=0).max() > 0.6 and pattern.std() > 0.2
    np.testing.assert_array_equal(pattern, _style.picture(style, 32, 48, 3))
    np.testing.assert_allclose(_style.picture(style, 32, 48, 1)[0], pattern.mean(axis=0), atol=1e-6)


def test_what_is_no_picture_of_even_sides_or_has_no_eye_is_refused() -> None:
    with pytest.raises(UserError, match="style_transfer: words has no pictures"):
        StyleTransfer().build(Domain("words", {"tokens": TensorSpec((1, 5), "int64")}))
    with pytest.raises(UserError, match="style_transfer: pictures of 32x31 px do not fit"):
        StyleTransfer().build(replace(DOMAIN, inputs={"image": TensorSpec((1, 3, 32, 31))}))
    with pytest.raises(UserError, match=r"style_transfer: the eye for mnist is a lenet5; .* of a resnet8"):
        StyleTransfer().build(Domain("mnist", {"image": TensorSpec((1, 1, 28, 28))}, pixels=(0.0, 1.0)))
    with pytest.raises(UserError, match=r"maps: no eye looks at its pictures; there are .*cifar10"):
        StyleTransfer().build(Domain("maps", {"image": TensorSpec((1, 3, 8, 8))}, pixels=(0.0, 1.0)))
