"""Debian's packages for any of its architectures, by an apt that keeps its state in a folder of ours and installs nothing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import UserError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def unpack(architecture: str, packages: Iterable[str], state: Path, target: Path, suite: str | None = None) -> None:
    """Unpacks packages (not what they depend on) into a folder; no script of theirs is run.

    `suite` adds one to those that this machine takes its packages from: backports.
    """
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise UserError(f"packages of Debian are fetched with {tool}, which is not here")
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
        "Dir::State": state,
        "Dir::State::Lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
    }
    wanted = list(packages)
    if suite:
        (state / "parts" / "suite.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} {suite} main\n")
        settings |= {"Dir::Etc::sourcelist": "/dev/null", "Dir::Etc::sourceparts": state / "parts"}
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    _run(["apt-get", *options, "update", "-qq"])
    debs = state / "debs"
    shutil.rmtree(debs, ignore_errors=True)
    debs.mkdir()
    _run(["apt-get", *options, "download", "-qq", *wanted], debs)
    for path in sorted(debs.glob("*.deb")):
        _run(["dpkg", "-x", str(path), str(target)])


def _mirror() -> str:
    """Where this machine takes its packages from."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.split()
    if not lines:
        raise UserError("apt-get knows no place to take packages from")
    return next((line for line in lines if "security" not in line), lines[0])


def _run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"packages of Debian: {command[0]} failed: {last}")
