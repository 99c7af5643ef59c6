"""An eye is a classifier that reads what its data set's pictures are; what has no labelled pictures gets none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rich.console import Console

from models import _eye
from pipeline.bench import eyes
from pipeline.core import Spec
from pipeline.errors import UserError


@pytest.mark.parametrize(("name", "architecture"), [("mnist", "lenet5"), ("cifar10", "resnet8")])
def test_an_eye_is_found_again_where_it_was_written(
    name: str, architecture: str, synthetic_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPRESS_DATA", str(synthetic_data))
    monkeypatch.setattr(eyes, "EPOCHS", {architecture: 1})
    monkeypatch.setattr(_eye, "FOLDER", tmp_path)
    eyes.make(name, tmp_path, Console(quiet=True))
    found = _eye.eye.__wrapped__(name)
    pictures = torch.zeros(2, *Spec("data", name).build().load(synthetic_data).domain.inputs["image"].shape[1:])
    assert found.name == architecture
    assert found.logits(pictures).shape == (2, 10)
    (written,) = tmp_path.rglob("model.json")
    assert f'"trained_on": "{name}"' in written.read_text()


def test_what_has_no_pictures_gets_no_eye(synthetic_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRESS_DATA", str(synthetic_data))
    with pytest.raises(UserError, match=r"eyes: tinyshakespeare has"):
        eyes.make("tinyshakespeare", tmp_path, Console(quiet=True))
    assert not list(tmp_path.iterdir())
