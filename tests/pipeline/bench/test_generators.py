"""The references of a recipe make two pictures for every row, whatever exported files are spared; what makes none is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from models.diffusion_unet import DiffusionUnet
from models.tasks.classification import wilson
from pipeline.bench import generators
from pipeline.core import Dataset, Facts, Model, Spec
from pipeline.errors import UserError
from pipeline.recipe import read
from pipeline.registry import ROOT
from pipeline.store import Store

RECIPE = ROOT / "pipeline/recipes/mnist_diffusion.toml"


def model(family: Spec, root: Path) -> tuple[Model, Dataset]:
    data: Dataset = Spec("data", "mnist").build().load(root)
    torch.manual_seed(0)
    return Model(family, data.domain, family.build().build(data.domain), Facts(0, 0)), data


def test_every_row_counts(synthetic_data: Path) -> None:
    options = {"channels": (2, 2), "steps": 1}
    found, data = model(Spec("model", "diffusion_unet", options), synthetic_data)
    task = DiffusionUnet(steps=1).task(found.domain)
    details = {detail.metric: detail for detail in generators.judged(found, data, samples=32)}
    agreement = details["agreement with the class asked for"]
    assert task.every > 1
    assert (agreement.low, agreement.high) == wilson(round(agreement.value * 64), 64), "of 64 pictures, for 32 rows"
    assert details[task.metric].low is not None


def test_who_makes_no_pictures_is_refused(synthetic_data: Path) -> None:
    found, data = model(Spec("model", "mlp"), synthetic_data)
    with pytest.raises(UserError, match="mlp: makes no pictures of classes; it is judged by accuracy"):
        generators.judged(found, data)


def test_models_must_have_been_made(synthetic_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRESS_DATA", str(synthetic_data))
    recipe, store = read(RECIPE, "quick"), Store(tmp_path)
    again = r"not made yet; \./edgepress run .*mnist_diffusion\.toml --preset quick"
    with pytest.raises(UserError, match=f"diffusion_unet: reference: {again}"):
        generators.made(recipe, store)
    with pytest.raises(UserError, match=f"diffusion_unet: 4 steps: {again}"):
        generators.made(recipe, store, "4 steps")
    with pytest.raises(UserError, match=r"mnist_diffusion\.toml: unknown variant '4 step'; did you mean '4 steps'"):
        generators.made(recipe, store, "4 step")


@pytest.mark.parametrize("typed", ["0", "-3", "many", "1.5"])
def test_a_number_of_samples_that_is_none_is_one_line(typed: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["generators", str(RECIPE), "--samples", typed])
    with pytest.raises(SystemExit) as stopped:
        generators.main()
    assert stopped.value.code == 2
    assert f"argument --samples: found {typed}; a whole number above 0 is wanted" in capsys.readouterr().err
