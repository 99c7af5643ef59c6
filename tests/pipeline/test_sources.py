"""Which edits rebuild a step and which do not: the digest of its code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import sources

TRAIN = ["pipeline/steps/train.py", "models/mlp.py", "models/data/digits.py"]
COMPRESS = ["pipeline/steps/compress.py", "pipeline/compress/prune_structured.py", *TRAIN[1:]]

Digest = Callable[..., str]


@pytest.fixture
def digest(own_checkout: Any) -> Digest:
    """Of a step's code in a fresh process, after an edit: `old` in `file` becomes `new`."""

    def run(step: list[str], file: str = "", old: str = "", new: str = "") -> str:
        path = own_checkout.root / file
        if file:
            text = path.read_text() if path.exists() else ""
            assert old in text
            path.write_text(text.replace(old, new, 1) if old else new + text)
        code = f"from pipeline.sources import *; print(digest([ROOT / name for name in {step}]))"
        done = subprocess.run([sys.executable, "-c", code], cwd=own_checkout.root, capture_output=True, text=True, check=True)
        return done.stdout

    return run


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("models/mlp.py", "nn.ReLU()", "nn.GELU()"),
        ("models/_classifier.py", "cross_entropy", "nll_loss"),  # what the family inherits
        ("models/data/_images.py", "20240229", "20240228"),  # what the data set imports
        ("pipeline/train.py", "100_003", "100_019"),  # what the step imports
        ("pipeline/model_file.py", "detach()", "data"),
        ("pipeline/steps/train.py", "manual_seed(task", "manual_seed(1 + task"),
    ],
)
def test_an_edit_of_code_that_the_step_runs_changes_the_digest(digest: Digest, file: str, old: str, new: str) -> None:
    before = digest(TRAIN)
    assert digest(TRAIN, file, old, new) != before


def test_another_eye_changes_the_digest_of_what_looks_with_it(digest: Digest) -> None:
    looks = ["pipeline/steps/train.py", "models/style_transfer.py", "models/data/cifar10.py"]
    before, trained = digest(looks), digest(TRAIN)
    assert digest(looks, "models/eyes/cifar10/model.json", '"history"', '"History"') != before
    again = digest(looks)
    assert digest(looks, "models/resnet8.py", "nn.ReLU()", "nn.GELU()") != again
    assert digest(TRAIN) == trained


def test_an_edit_of_what_is_compiled_changes_the_digest_of_what_runs_it(digest: Digest) -> None:
    export = ["pipeline/steps/export.py", "pipeline/export/onnx_.py", "targets/runtimes/onnxruntime_.py"]
    before, trained = digest(export), digest(TRAIN)
    assert digest(export, "targets/kernels/binary.cpp", "TILE = 4", "TILE = 2") != before
    assert digest(TRAIN) == trained


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("models/mlp.py", "", "# a comment\n\n\n"),
        ("models/mlp.py", '"""Fully connected', '"""Densely connected'),  # a class's docstring
        ("models/mlp.py", '"""Image [N, C, H, W]', '"""An image [N, C, H, W]'),  # a method's
        ("models/mlp.py", '"""Feed-forward', '"""A feed-forward'),  # the file's
        ("models/mlp.py", '"""Units of', '"""The units of'),  # a field's
        ("models/mlp.py", "(units * self.width)", "(\n    units * self.width  # so wide\n)"),
        ("models/lenet5.py", "nn.", "nn . "),  # another family
        ("pipeline/compress/distill.py", "def ", "def unused_"),  # a technique, which training does not run
        ("pipeline/plan.py", "def ", "def unused_"),
        ("reports/table.py", "def ", "def unused_"),
        ("tests/new.py", "", "x = 1"),
    ],
)
def test_an_edit_that_training_cannot_notice_keeps_the_digest(
    digest: Digest, file: str, old: str, new: str, own_checkout: Any
) -> None:
    before = digest(TRAIN)
    (own_checkout.root / "tests").mkdir(exist_ok=True)
    assert digest(TRAIN, file, old, new) == before


def test_a_technique_counts_for_its_own_steps(digest: Digest) -> None:
    before = digest(TRAIN), digest(COMPRESS)
    edit = ("pipeline/compress/prune_structured.py", "BATCHES = 32", "BATCHES = 16")
    assert digest(COMPRESS, *edit) != before[1]
    assert digest(TRAIN) == before[0]


def test_the_digest_is_the_same_wherever_the_checkout_lies(digest: Digest, copied_code: Path, own_checkout: Any) -> None:
    assert copied_code != own_checkout.root
    script = f"from pipeline.sources import *; print(digest([ROOT / name for name in {TRAIN}]))"
    done = subprocess.run([sys.executable, "-c", script], cwd=copied_code, capture_output=True, text=True, check=True)
    assert done.stdout == digest(TRAIN)


def test_the_packages_that_the_code_imports_count_with_their_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.py").write_text("import torch\n")
    before = sources.digest([tmp_path / "net.py"])
    sources.version.cache_clear()
    monkeypatch.setattr(sources.importlib.metadata, "version", lambda name: "0.0.1")
    assert sources.digest([tmp_path / "net.py"]) != before
    sources.version.cache_clear()


@pytest.mark.parametrize(
    ("package", "distribution"), [("sklearn", "scikit-learn"), ("litert_torch", "litert-torch"), ("torch",) * 2]
)
def test_versions_are_found_by_import_name(package: str, distribution: str) -> None:
    from importlib.metadata import version

    assert sources.version(package) == version(distribution)


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert sources.version("no_such_package") == ""
