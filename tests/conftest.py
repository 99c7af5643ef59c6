"""What every test shares: the checkout, a store that is kept between tests and runs, and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "tests"
"""Heavy steps are made once, by whichever test needs them first, and found again by content key."""

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def shared_home(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in the shared home unless it sets another."""
    monkeypatch.setenv("EDGEPRESS_HOME", str(HOME))
    return HOME


@pytest.fixture
def cli() -> Cli:
    """Runs `./edgepress ARGUMENTS` as a person does; `env` adds variables, `cwd` is the folder it is called from."""

    def run(*arguments: object, env: dict[str, str] | None = None, cwd: Path | None = None, timeout: float = 600):
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd or ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160", **(env or {})},
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    """A recipe that runs in seconds: one small network on the digits, two variants, one format."""
    path = tmp_path / "tiny.toml"
    path.write_text(
        """
data = "digits"
preset = "quick"
formats = ["onnx"]
models = [{ model = "mlp", hidden = [16], train = { epochs = 2 } }]

[[variants]]
name = "pruned"
steps = [{ technique = "prune_structured", sparsity = 0.3, rounds = 1, epochs = 1 }]

[[variants]]
name = "int8"
steps = [{ technique = "quantize_static", calibration_samples = 16 }]
"""
    )
    return path
