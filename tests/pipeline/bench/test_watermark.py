"""Marked pictures are found and clean ones left alone, at every threshold that the table shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.bench import watermark
from pipeline.core import Spec


def test_every_marked_picture_is_found(synthetic_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRESS_DATA", str(synthetic_data))
    monkeypatch.setattr("sys.argv", ["watermark", "mnist", "cifar10", "--out", str(tmp_path / "found.json")])
    watermark.main()
    rows = json.loads((tmp_path / "found.json").read_text())
    assert [(row["data"], row["threshold"]) for row in rows] == [
        (name, threshold) for name in ("mnist", "cifar10") for threshold in watermark.THRESHOLDS
    ]
    for row in rows:
        assert row["of"] == Spec("data", row["data"]).build().load(synthetic_data).size("test")
        assert row["found"] == row["of"]
        assert row["false"] <= 5 * row["stated"] * row["of"] + 1
