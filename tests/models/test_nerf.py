"""A radiance field is trained by the sum that its judge makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.nerf import NeRF
from pipeline.core import Domain, TensorSpec
from pipeline.errors import UserError
from pipeline.evaluate import module_predictor

RAYS = Domain("rays", {name: TensorSpec((1, 3)) for name in ("origin", "direction")})


def test_training_and_judge_see_the_same_colours() -> None:
    """Where places are drawn finely enough, it matters no more where in their parts they lie."""
    torch.manual_seed(0)
    family = NeRF(hidden=16, frequencies=2, samples=600)
    module = family.build(RAYS)
    batch = {"origin": torch.randn(5, 3), "direction": torch.nn.functional.normalize(torch.randn(5, 3), dim=1)}
    trained = family.forward(module, batch)["colour"].detach().numpy()
    predictors = {"field": module_predictor(family.graphs(module, RAYS)["field"])}
    judged = family.task(RAYS).rendered(predictors, batch["origin"].numpy(), batch["direction"].numpy())
    np.testing.assert_allclose(trained, judged, atol=2e-3)


def test_colours_and_densities_are_possible_ones() -> None:
    torch.manual_seed(0)
    colour, density = NeRF().build(RAYS).get_submodule("field")(10 * torch.randn(2, 48, 3), torch.randn(2, 3))
    assert colour.shape == (2, 48, 3) and density.shape == (2, 48)
    assert bool(((colour >= 0) & (colour <= 1)).all()) and bool((density >= 0).all())


def test_the_direction_changes_the_colour_and_never_the_density() -> None:
    torch.manual_seed(0)
    module, points = NeRF().build(RAYS).get_submodule("field"), torch.randn(1, 48, 3)
    (one, thick), (other, same) = (module(points, torch.tensor([direction])) for direction in ([1.0, 0, 0], [0, 0, 1.0]))
    assert torch.equal(thick, same) and not torch.equal(one, other)


def test_what_are_no_rays_and_ends_that_are_none_are_refused() -> None:
    with pytest.raises(UserError, match=r"nerf: pictures has no rays \(origin and direction\); it has image"):
        NeRF().build(Domain("pictures", {"image": TensorSpec((1, 1, 8, 8))}))
    with pytest.raises(UserError, match=r"nerf: far = 1.0 must be more than near = 2.0"):
        NeRF(near=2.0, far=1.0)
