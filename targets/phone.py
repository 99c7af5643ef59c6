"""A phone over adb, native: the same runner as on a board, in a Python that is sent along."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, final

from pipeline.places import home
from targets._benchmark_model import why_not
from targets._board import Board
from targets._device import Judges, Say
from targets._userland import PHONE, prepare
from targets.transport.adb import Adb
from targets.transport.remote import Remote, reaching

FOLDER = PurePosixPath("/data/local/tmp/edgepress")
"""The one place of a phone where a shell may both write and run."""


@final
@dataclass(frozen=True)
class Phone:
    """An Android phone with USB debugging on, 64 bits; its shell is all that is used."""

    device: str = ""
    """Its serial number, or host:port where it listens; needed when there are several."""
    samples: int = 0
    """Judge so many samples of the test split; 0 takes all of them."""
    benchmark_model: str = ""
    """LiteRT's own benchmark_model for Android, aarch64: run on each .tflite file besides, its figures beside ours."""

    optional: ClassVar[bool] = False
    provenance: ClassVar[Literal["measured"]] = "measured"

    @property
    def judges(self) -> Judges | None:
        """The phone judges the files itself."""
        return Judges(self.samples or None)

    def usable(self) -> str | None:
        """Why it cannot be used."""
        if sys.platform != "linux" or shutil.which("apt-get") is None or shutil.which("dpkg") is None:
            return "needs a Debian or Ubuntu here: the Python that is sent to the phone is made of Debian's packages"
        if shutil.which("adb") is None:
            return "needs adb (Debian: apt-get install adb)"
        return why_not(Path(self.benchmark_model)) if self.benchmark_model else None

    @contextlib.contextmanager
    def reach(self, say: Say) -> Iterator[Board]:
        """Connects, and sends what the phone lacks."""
        adb = Adb(self.device)
        with reaching():
            adb.connect()
            remote = Remote(adb, prepare(adb, FOLDER, home() / "userland", say))
        remote.tidy()
        yield Board(remote, PHONE, benchmark_model=Path(self.benchmark_model) if self.benchmark_model else None)
        remote.tidy()
