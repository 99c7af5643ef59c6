from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.registry import FOLDERS, ROOT, find, names, source_file

TECHNIQUE = '''
from dataclasses import dataclass, replace
from typing import final
import torch
from pipeline.core import Promise, Technique

@final
@dataclass(frozen=True)
class Halve(Technique):
    """Multiplies every weight by `factor`."""
    factor: float = 0.5

    def apply(self, model, context):
        with torch.no_grad():
            for parameter in model.module.parameters():
                parameter *= self.factor
        return model

    def promise(self, before, after):
        return Promise(1.0, 1.0, "nowhere")
'''


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folders_files_are_its_names_and_helpers_are_not(kind: str) -> None:
    found = names(kind)
    assert found == sorted(set(found)) and found
    for name in found:
        assert not name.startswith("_") and not name.endswith("_")
        assert source_file(kind, name).is_file()
        assert find(kind, name).__module__.rstrip("_") == f"{FOLDERS[kind]}.{name}"


def test_a_trailing_underscore_keeps_the_package_of_that_name_reachable() -> None:
    import onnx

    assert find("format", "onnx").__module__ == "pipeline.export.onnx_"
    assert Path(onnx.__file__).parent.name == "onnx" and not Path(onnx.__file__).is_relative_to(ROOT / "pipeline")


@pytest.mark.parametrize("name", ["distil", "_quiet", "__init__", "prune_structured_", "../compress/distill", ""])
def test_what_is_no_name_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(UserError, match=r"unknown technique .*prune_structured"):
        find("technique", name)


def test_a_file_dropped_into_the_folder_is_found(own_checkout: Any) -> None:
    (own_checkout.root / "pipeline/compress/halve.py").write_text(TECHNIQUE)
    code = "from pipeline.registry import *; print(names('technique')); print(find('technique', 'halve')(0.25))"
    done = subprocess.run([sys.executable, "-c", code], cwd=own_checkout.root, capture_output=True, text=True, check=True)
    assert "'halve'" in done.stdout and "Halve(factor=0.25)" in done.stdout


def test_a_dropped_technique_and_a_users_own_file_run_from_a_recipe(own_checkout: Any) -> None:
    (own_checkout.root / "pipeline/compress/halve.py").write_text(TECHNIQUE)
    folder = own_checkout.home.parent
    (folder / "own").mkdir()
    (folder / "own" / "third.py").write_text(TECHNIQUE.replace("0.5", "0.333"))
    (folder / "r.toml").write_text(
        """
        data = "digits"
        preset = "quick"
        formats = ["onnx"]
        models = [{ model = "mlp", hidden = [4], train = { epochs = 1 } }]
        variants = [
            { name = "dropped", steps = [{ technique = "halve" }] },
            { name = "own", steps = [{ technique = "own/third.py", factor = 0.1 }, { technique = "halve" }] },
        ]
        """
    )
    done = own_checkout("run", "r.toml", "--target", "few_samples")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    made = own_checkout.created()
    assert {"digits quick mlp/dropped: halve", "digits quick mlp/own: halve"} <= set(made)
    plan = own_checkout("run", "r.toml", "--target", "few_samples", "--dry-run").stdout
    assert "0 steps to run" in plan


def test_two_user_files_of_one_name_stay_apart_and_an_edit_is_seen(tmp_path: Path, own_file: Callable[..., Path]) -> None:
    first, second = own_file("a/net.py", "One"), own_file("b/net.py", "Two")
    assert find("technique", str(first)).__name__ == "One"
    assert find("technique", str(second)).__name__ == "Two"
    own_file("a/net.py", "Three")
    assert find("technique", str(first)).__name__ == "Three"


def test_a_class_that_a_user_file_imports_is_not_its_own(own_file: Callable[..., Path]) -> None:
    path = own_file("net.py", "Mine", "from pipeline.compress.distill import Distill")
    assert find("technique", str(path)).__name__ == "Mine"


@pytest.fixture
def own_file(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, class_name: str, before: str = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{before}\nfrom typing import final\n@final\nclass {class_name}:\n    pass\n")
        return path

    return write
