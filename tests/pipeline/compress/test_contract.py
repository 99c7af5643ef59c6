"""Every file of pipeline/compress keeps what the others rely on."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from pipeline.core import Model, Spec, Technique
from pipeline.registry import find, names


@pytest.fixture(params=names("technique"))
def technique(request: pytest.FixtureRequest) -> Technique:
    built: Technique = Spec("technique", str(request.param)).build()
    return built


def test_it_says_its_source_and_when_it_does_not_pay(technique: Technique) -> None:
    text = inspect.getdoc(type(technique)) or ""
    assert "not pay" in text
    assert any(mark in text for mark in ("arXiv:", "et al."))


def test_it_promises_ratios_and_a_place(technique: Technique, untrained: Callable[..., Model]) -> None:
    facts = untrained().facts
    promise = technique.promise(facts, facts)
    assert 0 < promise.file_ratio <= 1
    assert 0 < promise.latency_ratio <= 1
    assert promise.where


def test_a_name_finds_its_class() -> None:
    assert all(issubclass(find("technique", name), Technique) for name in names("technique"))
