"""Packages of Debian by an apt-get that the test makes: a mirror in the middle of its update, and one that lacks a package."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import UserError
from targets.emulator.debian import unpack


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes an apt-get that updates and downloads by these lines of `sh`, and a dpkg that unpacks a file of its own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(update: str, download: str) -> None:
        body = f'#!/bin/sh\ncase "$*" in *update*) {update};; *download*) {download};; esac\n'
        for name, text in (("apt-get", body), ("dpkg", '#!/bin/sh\nmkdir -p "$3" && touch "$3/unpacked"\n')):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    return make


LACKING = "echo E: Some index files failed to download. >&2; exit 100"


def test_an_index_that_is_lacking_is_told_and_no_reason_to_give_up(
    apt: Callable[[str, str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apt(LACKING, "touch a.deb")
    unpack("armhf", ["a"], tmp_path / "state", tmp_path / "root")
    assert (tmp_path / "root" / "unpacked").is_file()
    assert "armhf: apt-get failed: E: Some index files failed to download." in capsys.readouterr().err


def test_a_package_that_is_lacking_is_told_by_its_first_reason(apt: Callable[[str, str], None], tmp_path: Path) -> None:
    apt(LACKING, "echo E: Unable to locate package a >&2; exit 100")
    with pytest.raises(UserError, match="packages of Debian: apt-get failed: E: Some index files"):
        unpack("armhf", ["a"], tmp_path / "state", tmp_path / "root")
    apt("true", "echo E: Unable to locate package a >&2; exit 100")
    with pytest.raises(UserError, match="packages of Debian: apt-get failed: E: Unable to locate package a"):
        unpack("armhf", ["a"], tmp_path / "state", tmp_path / "root")
