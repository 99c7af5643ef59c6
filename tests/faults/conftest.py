"""Breaking things on purpose: a process of the command line, and what it leaves behind."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TRACEBACK = "Traceback (most recent call last)"


@pytest.fixture
def ours() -> Callable[[Any], list[str]]:
    """The processes that work for a checkout: those whose environment names its home."""

    def find(checkout: Any) -> list[str]:
        found = []
        mark = f"EDGEPRESS_HOME={checkout.home}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it has ended, or is not ours to look at
                continue
            if mark in environment and command and int(folder.name) != os.getpid():
                found.append(f"{folder.name}: {command}")
        return found

    return find


@pytest.fixture
def all_gone(ours: Callable[[Any], list[str]]) -> Callable[[Any], list[str]]:
    """Waits until no process works for a checkout any more; gives those that still do after ten seconds."""

    def wait(checkout: Any) -> list[str]:
        end = time.monotonic() + 10
        while (left := ours(checkout)) and time.monotonic() < end:
            time.sleep(0.05)
        return left

    return wait


@pytest.fixture
def steps_run() -> Callable[[str], list[str]]:
    """The steps that a run says it has done, out of its `[n/m] label (x s)` lines."""
    return lambda out: re.findall(r"^\[\d+/\d+\] (.*) \([\d.]+ s\)$", out, re.MULTILINE)
