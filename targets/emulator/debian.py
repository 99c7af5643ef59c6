"""Debian's packages for any of its architectures, by an apt that keeps its state in a folder of ours and installs nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
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
    # A mirror that is in the middle of its own update lacks an index; the others may have all that is asked for.
    lacking = _try(["apt-get", *options, "update", "-qq"])
    debs = state / "debs"
    shutil.rmtree(debs, ignore_errors=True)
    debs.mkdir()
    if missing := _try(["apt-get", *options, "download", "-qq", *wanted], debs):
        raise UserError(f"packages of Debian: {lacking or missing}")
    if lacking:
        print(f"packages of Debian for {architecture}: {lacking} All packages were found in the others.", file=sys.stderr)
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


def _run(command: list[str]) -> None:
    if reason := _try(command):
        raise UserError(f"packages of Debian: {reason}")


def _try(command: list[str], folder: Path | None = None) -> str | None:
    """Why a command failed, in one line; None when it did not."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode == 0:
        return None
    return f"{command[0]} failed: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
