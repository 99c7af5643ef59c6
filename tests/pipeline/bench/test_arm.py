"""What bits save on emulated ARM is counted on networks that differ in nothing else, and is called emulated."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from pipeline.bench import arm

pytestmark = pytest.mark.skipif(arm.unusable() is not None, reason=arm.unusable() or "")


def test_bits_take_fewer_instructions_and_say_that_they_are_emulated() -> None:
    found = arm.compare(channels=32)
    assert found["provenance"] == "emulated"
    assert found["binary"]["instructions"] < 0.5 * found["float32"]["instructions"]
    with (console := Console(record=True, width=120)).capture() as said:
        console.print(arm.table(found))
    assert "cortex-a72, emulated" in said.get()
    assert f"{found['binary']['instructions']:,}" in said.get()


def test_what_is_counted_is_the_work_and_the_same_again(tmp_path: Path) -> None:
    small, again, large = (arm.measured(arm.network(channels, False), tmp_path)["instructions"] for channels in (8, 8, 16))
    assert small == again
    assert 1.5 * small < large


def test_a_tool_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        arm.unusable() == "counting on emulated ARM needs aarch64-linux-gnu-gcc (Debian: apt-get install g++-aarch64-linux-gnu)"
    )
