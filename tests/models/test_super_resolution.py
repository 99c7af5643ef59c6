"""Sub-pixel convolution makes pixels of channels, and a critic pulls the other way than the error."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import _adversary
from models.super_resolution import SuperResolution
from models.tasks._resampling import resized
from pipeline.core import Domain, TensorSpec
from pipeline.errors import UserError

DOMAIN = Domain("photographs", {"image": TensorSpec((1, 3, 8, 8))}, pixels=(-1.0, 3.0))
PICTURES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_channels_become_the_pixels_of_a_square() -> None:
    module = SuperResolution().build(DOMAIN)
    for parameter in module.parameters():
        parameter.data.zero_()
    module.get_parameter("body.last.bias").data = torch.arange(12.0)
    square = module(PICTURES[:1, :, :2, :2])[0, 1]
    assert square.tolist() == [[4, 5, 4, 5], [6, 7, 6, 7]] * 2


def test_training_makes_pictures_smaller_as_the_judge_does() -> None:
    seen = []
    module = SuperResolution().build(DOMAIN)
    module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    SuperResolution().forward(module, {"image": PICTURES, "label": torch.zeros(6)})
    np.testing.assert_allclose(seen[0].numpy(), resized(PICTURES.numpy(), 4, 4), atol=1e-6)


@pytest.mark.parametrize("side", [7, 9])
def test_sides_that_the_scale_does_not_divide_are_refused(side: int) -> None:
    with pytest.raises(UserError, match=rf"super_resolution: pictures of 8x{side} px do not fit; sides that 2 divides do"):
        SuperResolution().build(Domain("odd", {"image": TensorSpec((1, 3, 8, side))}, pixels=(0.0, 1.0)))


def test_a_critic_that_halves_three_times_needs_eight_pixels() -> None:
    small = Domain("small", {"image": TensorSpec((1, 3, 4, 4))}, pixels=(0.0, 1.0))
    assert SuperResolution().build(small)
    with pytest.raises(UserError, match="super_resolution: pictures of 4x4 px do not fit; sides of at least 8"):
        SuperResolution(adversarial=0.1).build(small)


def test_only_training_asks_the_critic_and_only_the_network_is_deployed() -> None:
    family = SuperResolution(adversarial=0.1)
    module = family.build(DOMAIN)
    assert "judged" in family.forward(module.train(), {"image": PICTURES})
    assert "judged" not in family.forward(module.eval(), {"image": PICTURES})
    deployed = {id(each) for each in family.graphs(module, DOMAIN)["enlarger"].module.parameters()}
    assert deployed == {id(each) for name, each in module.named_parameters() if not name.startswith("critic")}
    assert "judged" not in SuperResolution().forward(SuperResolution().build(DOMAIN).train(), {"image": PICTURES})


def test_a_step_down_the_one_loss_makes_the_critic_tell_better() -> None:
    torch.manual_seed(0)
    critic = _adversary.Critic(3)
    made = 0.5 * PICTURES

    def apart() -> float:
        return float((critic(PICTURES).mean() - critic(made).mean()).detach())

    before = apart()
    _adversary.judged(critic, PICTURES, made, weight=2.0, penalty=0.0).backward()
    torch.optim.SGD(critic.parameters(), 1e-2).step()
    assert apart() > before
