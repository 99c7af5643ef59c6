"""A model comes back from disk as it was, its structure replayed; a changed user file is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline import model_file
from pipeline.compress.prune_structured import PruneStructured
from pipeline.core import Context, Model, Precision, Spec
from pipeline.errors import UserError

Build = Callable[..., Model]


@pytest.mark.parametrize("name", ["mlp", "lenet5", "gru_classifier"])
def test_a_pruned_model_comes_back_the_same(untrained: Build, context: Context, tmp_path: Path, name: str) -> None:
    model = PruneStructured(macs=0.5, rounds=2, epochs=2).apply(untrained(name), context)
    model = replace(model, precision=Precision("static"))
    model_file.save(model, tmp_path / "saved")
    loaded = model_file.load(tmp_path / "saved")
    image = torch.randn(3, 1, 8, 8)
    assert torch.equal(loaded.module(image), model.module.eval()(image))
    assert (loaded.facts, loaded.precision, loaded.surgery) == (model.facts, model.precision, model.surgery)


def test_loading_does_not_move_the_random_state(untrained: Build, tmp_path: Path) -> None:
    model_file.save(untrained(), tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    model_file.load(tmp_path)
    assert torch.rand(1) == expected


def test_an_edited_user_file_is_refused(untrained: Build, tmp_path: Path) -> None:
    source = tmp_path / "own.py"
    source.write_text((Path(model_file.__file__).parent.parent / "models" / "mlp.py").read_text())
    model = replace(untrained(), family=Spec("model", str(source)))
    model_file.save(model, tmp_path / "saved")
    model_file.load(tmp_path / "saved")
    source.write_text(source.read_text() + "\n# edited\n")
    with pytest.raises(UserError, match="is not the one this model was made with"):
        model_file.load(tmp_path / "saved")


def test_the_files_hold_no_pickle(untrained: Build, tmp_path: Path) -> None:
    files = model_file.save(untrained(), tmp_path)
    assert [path.name for path in files] == ["model.json", "weights.safetensors"]
    assert files[0].read_text().startswith("{")
