"""Every file of pipeline/compress keeps what the others rely on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline import model_file
from pipeline.core import Context, Model, Spec, Technique
from pipeline.registry import find, names


@pytest.fixture(params=names("technique"))
def technique(request: pytest.FixtureRequest) -> Technique:
    built: Technique = Spec("technique", str(request.param)).build()
    return built


def test_it_says_its_source_and_when_it_does_not_pay(technique: Technique) -> None:
    text = inspect.getdoc(type(technique)) or ""
    assert "not pay" in text
    assert any(mark in text for mark in ("arXiv:", "et al."))


@pytest.mark.parametrize("name", ["mlp", "lenet5", "gru_classifier"])
def test_its_model_runs_survives_the_disk_and_leaves_the_input_alone(
    technique: Technique, untrained: Callable[..., Model], context: Context, tmp_path: Path, name: str
) -> None:
    model = untrained(name)
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    own = replace(context, reference=untrained(name), scratch=tmp_path / "scratch")
    compressed = technique.apply(model, own)
    image = torch.randn(2, 1, 8, 8)
    assert compressed.module.eval()(image).shape == (2, 10)
    model_file.save(compressed, tmp_path / "saved")
    assert torch.equal(model_file.load(tmp_path / "saved").module(image), compressed.module(image))
    assert all(torch.equal(before[key], value) for key, value in model.module.state_dict().items())


def test_it_promises_ratios_and_a_place(technique: Technique, untrained: Callable[..., Model]) -> None:
    facts = untrained().facts
    promise = technique.promise(facts, facts)
    assert 0 < promise.file_ratio <= 1
    assert 0 < promise.latency_ratio <= 1
    assert promise.where


def test_a_name_finds_its_class() -> None:
    assert all(issubclass(find("technique", name), Technique) for name in names("technique"))
