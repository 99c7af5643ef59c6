"""Both diffusion models learn the velocity of the same noise, hide labels, and are one step of many where they are deployed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from models._denoiser import LEVELS, Denoiser
from models._diffusion import Diffusion
from models.diffusion_transformer import DiffusionTransformer
from models.diffusion_unet import DiffusionUnet
from pipeline.core import Domain, TensorSpec
from pipeline.errors import UserError

DOMAIN = Domain("mnist", {"image": TensorSpec((1, 1, 12, 12))}, classes=3, pixels=(-1.0, 3.0))
FAMILIES = [DiffusionUnet(channels=(6, 8), blocks=1), DiffusionTransformer(layers=1, heads=2, hidden=8)]


class Watched(Denoiser):
    """Says 0, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(3, 8)
        self.asked: tuple[torch.Tensor, ...] = ()

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        self.asked = inputs
        return torch.zeros_like(inputs[0])


@pytest.fixture(params=FAMILIES, ids=lambda family: family.called)
def family(request: pytest.FixtureRequest) -> Diffusion:
    chosen: Diffusion = request.param
    return chosen


def asked(family: Diffusion, picture: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], Mapping[str, torch.Tensor]]:
    torch.manual_seed(0)
    watched = Watched()
    outputs = family.forward(watched, {"image": picture, "label": torch.ones(len(picture), dtype=torch.int64)})
    return watched.asked, outputs


def test_picture_and_noise_follow_from_their_sum_and_its_velocity() -> None:
    picture = torch.randn(400, 1, 12, 12)
    (noisy, level, _), outputs = asked(FAMILIES[0], picture)
    angle = (level * math.pi / 2 / LEVELS)[:, None, None, None]
    torch.testing.assert_close(angle.cos() * noisy - angle.sin() * outputs["true"], picture, atol=1e-5, rtol=0)
    noise = angle.sin() * noisy + angle.cos() * outputs["true"]
    assert float(noise.mean()) == pytest.approx(0, abs=0.02) and float(noise.var()) == pytest.approx(1, abs=0.02)
    assert float(FAMILIES[0].loss(outputs, {})) == pytest.approx(1, abs=0.05), "the velocity of variance 1 is missed altogether"


def test_every_batch_has_levels_from_a_touch_of_noise_to_noise_alone() -> None:
    (_, level, _), _ = asked(FAMILIES[0], torch.zeros(LEVELS, 1, 12, 12))
    assert sorted(level.tolist()) == pytest.approx(list(range(1, LEVELS + 1)), abs=1)
    assert min(level) >= 1 and max(level) <= LEVELS


def test_some_labels_are_hidden_and_none_when_none_are_to_be() -> None:
    (_, _, label), _ = asked(DiffusionUnet(unlabelled=0.25), torch.zeros(1000, 1, 12, 12))
    assert set(label.tolist()) == {1, 3} and float((label == 3).float().mean()) == pytest.approx(0.25, abs=0.05)
    (_, _, label), _ = asked(DiffusionUnet(unlabelled=0.0), torch.zeros(1000, 1, 12, 12))
    assert set(label.tolist()) == {1}


def test_one_step_is_deployed_and_level_and_class_change_what_it_says(family: Diffusion) -> None:
    torch.manual_seed(0)
    module = family.build(DOMAIN)
    for parameter in module.parameters():  # where it begins at 0, nothing would be told from anything
        torch.nn.init.normal_(parameter, std=0.3)
    (graph,) = family.graphs(module, DOMAIN).values()
    assert list(graph.inputs) == ["noisy", "level", "label"]
    noisy = torch.randn(1, 1, 12, 12).expand(3, -1, -1, -1)
    with torch.no_grad():
        found = graph.module.eval()(noisy, torch.tensor([5, 5, 90]), torch.tensor([0, 3, 0]))
    assert found.shape == noisy.shape
    assert float((found[0] - found[1]).abs().max()) > 1e-3 < float((found[0] - found[2]).abs().max())


def test_an_untrained_network_says_little(family: Diffusion) -> None:
    torch.manual_seed(0)
    said = family.build(DOMAIN)(torch.randn(8, 1, 12, 12), torch.full((8,), 50), torch.zeros(8, dtype=torch.int64))
    assert float(said.detach().square().mean()) < 0.5


def test_the_judge_goes_the_same_levels_and_is_told_steps_and_guidance() -> None:
    task = DiffusionUnet(steps=7, guidance=2.5).task(DOMAIN)
    assert (task.levels, task.steps, task.guidance, task.classes, task.shape) == (LEVELS, 7, 2.5, 3, (1, 12, 12))


@pytest.mark.parametrize(
    ("built", "domain", "match"),
    [
        (DiffusionUnet(), Domain("maps", {"image": TensorSpec((1, 1, 8, 8))}, pixels=(0.0, 1.0)), "diffusion_unet: maps has no"),
        (DiffusionUnet(), Domain("words", {"tokens": TensorSpec((1, 5), "int64")}, classes=2), "diffusion_unet: words has no"),
        (DiffusionTransformer(patch=5), DOMAIN, "12x12 px do not fit; sides that 5 divides do"),
        (DiffusionUnet(guidance=2.0, unlabelled=0.0), DOMAIN, r"guidance = 2 asks for .* no class, and unlabelled = 0 hides no"),
        (DiffusionUnet(), replace(DOMAIN, name="maps"), "maps: no eye looks at its pictures"),
        (DiffusionUnet(), replace(DOMAIN, name="cifar10"), r"diffusion_unet: the eye for cifar10 is a resnet8; .* of a lenet5"),
        (DiffusionTransformer(hidden=10), DOMAIN, "hidden = 10 is no multiple of heads = 4"),
    ],
)
def test_what_does_not_fit_is_refused(built: Any, domain: Domain, match: str) -> None:
    with pytest.raises(UserError, match=match):
        built.build(domain)


class Knower(Denoiser):
    """Knows the one picture that there is, and so where every sum of it and noise came from; for no class it knows another."""

    def __init__(self, picture: torch.Tensor, other: torch.Tensor) -> None:
        super().__init__(3, 8)
        self.pictures = torch.stack([picture, other])

    def forward(self, noisy: torch.Tensor, level: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        angle = (level * math.pi / 2 / LEVELS)[:, None, None, None]
        picture = self.pictures[(label == self.none).long()]
        return angle.cos() * (noisy - angle.cos() * picture) / angle.sin() - angle.sin() * picture


@pytest.mark.parametrize("steps", [1, 4, 16])
def test_one_step_of_who_knows_the_way_leads_where_two_lead(steps: int) -> None:
    torch.manual_seed(0)
    knows, errs = (Knower(picture, picture) for picture in torch.randn(2, 1, 12, 12))
    family, teacher = DiffusionUnet(steps=steps), DiffusionUnet(steps=50)
    batch = {"image": knows.pictures[0].expand(16, -1, -1, -1), "label": torch.zeros(16, dtype=torch.int64)}
    assert float(family.twice(knows, batch, theirs=teacher, teacher=knows)) < 1e-8
    assert float(family.twice(errs, batch, theirs=teacher, teacher=knows)) > 0.1


def test_a_step_is_taught_where_guided_steps_lead() -> None:
    torch.manual_seed(0)
    one, none = torch.randn(2, 1, 12, 12)
    family, teacher = DiffusionUnet(steps=4, unlabelled=0.0), DiffusionUnet(guidance=2.0)
    batch = {"image": one.expand(16, -1, -1, -1), "label": torch.zeros(16, dtype=torch.int64)}
    guided, plain = Knower(2 * one - none, none), Knower(one, none)
    assert float(family.twice(guided, batch, theirs=teacher, teacher=plain)) < 1e-8
    assert float(family.twice(plain, batch, theirs=teacher, teacher=plain)) > 0.1


def test_guidance_goes_further_from_no_class() -> None:
    one, none = torch.ones(1, 12, 12), torch.zeros(1, 12, 12)
    inputs = torch.randn(2, 1, 12, 12), torch.full((2,), 50), torch.zeros(2, dtype=torch.int64)
    found = DiffusionUnet(guidance=3.0).guided(Knower(one, none), *inputs)
    torch.testing.assert_close(found, Knower(3 * one, none)(*inputs))
    torch.testing.assert_close(DiffusionUnet().guided(Knower(one, none), *inputs), Knower(one, none)(*inputs))
