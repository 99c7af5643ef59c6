"""A search finds the noise of which a picture was made; a hybrid stands beside its parents with the same pictures for all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.bench import hybrid
from pipeline.core import Dataset, Facts, Model, Spec
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
    found = hybrid.inverted(generator, pictures, kind.numpy(), np.zeros((5, 3), np.float32))
    np.testing.assert_allclose(found, noise.numpy(), atol=0.01)


@pytest.fixture
def data(synthetic_data: Path) -> Dataset:
    found: Dataset = Spec("data", "fashion_mnist").build().load(synthetic_data)
    return found


@pytest.fixture
def models(data: Dataset) -> dict[str, Model]:
    torch.manual_seed(0)
    specs = {name: Spec("model", name, options) for name, options in OPTIONS.items()}
    return {name: Model(spec, data.domain, spec.build().build(data.domain), Facts(0, 0)) for name, spec in specs.items()}


@pytest.mark.parametrize("searched", [8, 999])
def test_all_stand_side_by_side(data: Dataset, models: dict[str, Model], searched: int) -> None:
    found = {detail.metric: detail for detail in hybrid.compared(models, data, samples=24, searched=searched)}
    assert list(found) == [
        *(f"{name}: lenet5_frechet_distance" for name in ("vae", "gan", "vae_gan")),
        *(f"{name}: reconstruction error" for name in ("vae", "vae_gan", "gan, searched in 400 steps")),
        "vae_gan, searched in 400 steps: reconstruction error",
    ]


def test_the_same_pictures_are_made_again_by_means_and_better_after_a_search(data: Dataset, models: dict[str, Model]) -> None:
    rows, family = data.batch("test", slice(0, 6)), models["vae_gan"].family.build()
    judge, hybrids = family.task(data.domain), models["vae_gan"].module.eval()
    found = hybrid.again_made(models, rows, judge, latent=4)
    assert all(each.shape == (6,) for each in found.values())
    pictures = torch.from_numpy(rows["image"] - judge.dark) / (judge.bright - judge.dark)
    with torch.no_grad():
        mean, _ = hybrids.get_submodule("encoder")(pictures)
        again = hybrids.get_submodule("generator")(mean, torch.eye(10)[torch.from_numpy(rows["label"])])
    np.testing.assert_allclose(found["vae_gan"], (again - pictures).square().mean(dim=(1, 2, 3)).numpy(), rtol=1e-4)
    assert found["vae_gan, searched in 400 steps"].mean() < found["vae_gan"].mean()


def test_a_recipe_without_the_three_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["hybrid", "--recipe", "pipeline/recipes/mnist_gan.toml"])
    with pytest.raises(UserError, match=r"mnist_gan\.toml: has no vae; gan, vae and vae_gan are compared"):
        hybrid.main()
