"""A search finds the noise of which a picture was made; a hybrid stands beside its parents with the same pictures for all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.bench import hybrid
from pipeline.core import Facts, Model, Spec
from pipeline.errors import UserError

OPTIONS = {
    "vae": {"hidden": (8,), "latent": 3},
    "gan": {"channels": (4, 2), "latent": 4, "critic": 2},
    "vae_gan": {"channels": (4, 2), "latent": 5, "critic": 2},
}


class Mixed(nn.Module):
    """A generator of which every picture has one noise."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(3, 12)
        self.kind = nn.Linear(2, 12)

    def forward(self, latent: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        return (self.mix(latent) + self.kind(kind)).unflatten(1, (1, 3, 4))


def test_the_noise_of_a_made_picture_is_found() -> None:
    torch.manual_seed(0)
    generator, noise, kind = Mixed(), torch.randn(5, 3), torch.eye(2)[[0, 1, 1, 0, 1]]
    pictures = generator(noise, kind).detach().numpy()
    np.testing.assert_allclose(hybrid.inverted(generator, pictures, kind.numpy(), latent=3), noise.numpy(), atol=0.01)


def test_all_three_are_held_against_the_same_pictures(synthetic_data: Path) -> None:
    data = Spec("data", "fashion_mnist").build().load(synthetic_data)
    torch.manual_seed(0)
    specs = {name: Spec("model", name, options) for name, options in OPTIONS.items()}
    models = {name: Model(spec, data.domain, spec.build().build(data.domain), Facts(0, 0)) for name, spec in specs.items()}
    found = {detail.metric: detail for detail in hybrid.compared(models, data, samples=24, searched=8)}
    assert list(found) == [
        *(f"{name}: lenet5_frechet_distance" for name in ("vae", "gan", "vae_gan")),
        *(f"{name}: reconstruction error" for name in ("vae", "gan", "vae_gan")),
    ]
    assert all(detail.low is not None and detail.low <= detail.value for detail in found.values())


def test_a_recipe_without_the_three_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["hybrid", "--recipe", "pipeline/recipes/mnist_gan.toml"])
    with pytest.raises(UserError, match=r"mnist_gan\.toml: has no vae; gan, vae and vae_gan are compared"):
        hybrid.main()
