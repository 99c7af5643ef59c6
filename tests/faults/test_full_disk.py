"""A home on a disk that fills up: a small tmpfs in a mount namespace of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ISOLATED = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
RECIPE = """
data = "digits"
preset = "quick"
formats = ["{format}"]
models = [{{ model = "mlp", hidden = [{units}], train = {{ epochs = 1 }} }}]
"""
SCRIPT = """
mkdir home && mount -t tmpfs -o size={size} none home || exit 99
run() {{ name=$1; shift; "$PYTHON" -m pipeline "$@" >$name.out 2>$name.err; echo $? >$name.code; }}
run full run r.toml --target few_samples
ls home/runs/latest home/store/tmp/* >left 2>&1
run check store check
mount -o remount,size=200m home
run again run r.toml --target few_samples
"""

pytestmark = pytest.mark.xdist_group("faults")


def cannot_mount(folder: Path) -> str | None:
    try:
        done = subprocess.run([*ISOLATED, f"mount -t tmpfs none {folder}"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unshare (util-linux) is not installed"
    return done.stderr.strip() or None


@pytest.mark.parametrize(
    ("size", "units", "format", "full_at", "kept"),
    [
        ("100k", 512, "onnx", "digits quick mlp: train: ", 0),
        ("2m", 4096, "openvino", "digits quick mlp/reference: openvino: ", 2),  # a converter that fails in words of its own
        ("344k", 512, "onnx", "", 3),  # the report
    ],
)
def test_a_full_disk_is_one_line_and_more_room_is_all_it_takes(
    checkout: Any, tmp_path: Path, size: str, units: int, format: str, full_at: str, kept: int
) -> None:
    if reason := cannot_mount(tmp_path):
        pytest.skip(f"cannot mount a small disk here: {reason}")
    (tmp_path / "r.toml").write_text(RECIPE.format(units=units, format=format))
    environment = checkout.environment(PYTHON=sys.executable)
    subprocess.run([*ISOLATED, SCRIPT.format(size=size)], cwd=tmp_path, env=environment, check=True)

    def said(name: str) -> tuple[str, str, str]:
        code, out, err = ((tmp_path / f"{name}.{part}").read_text() for part in ("code", "out", "err"))
        return code.strip(), out, err

    code, _, err = said("full")
    assert code == "2" and err.count("\n") == 1, err
    assert err.startswith(f"edgepress: {full_at}{checkout.home}") and "the disk is full" in err
    left = (tmp_path / "left").read_text()
    assert left.count("No such file") == 2, "neither a report that is half there nor a step's files"
    code, out, err = said("check")
    assert (code, err) == ("0", "") and f"{kept} entries, 0 wrong" in out
    code, out, err = said("again")
    assert (code, err) == ("0", ""), err
    assert f"{kept} of 3 steps were there already" in out
