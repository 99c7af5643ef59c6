"""A Raspberry Pi over ssh, or an emulated one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar, Literal, final

from pipeline.errors import unknown
from pipeline.places import home
from targets._board import Board
from targets._device import Judges, Say
from targets._provision import prepare
from targets._sampling import Transport
from targets.transport.remote import Remote, reaching
from targets.transport.ssh import Ssh

FOLDER = PurePosixPath(".edgepress")
"""On the device, in the home of who logs in."""
EMULATED = "emulated-"


@final
@dataclass(frozen=True)
class Rpi:
    """A Raspberry Pi with 64-bit or 32-bit Raspberry Pi OS; any Linux board with Python 3.11 will do."""

    device: str = ""
    """`user@host`, `user@host:port`, a name of ~/.ssh/config, or emulated-pi4, emulated-pi5, emulated-pi4-32."""
    samples: int = 0
    """Judge so many samples of the test split; 0 takes all of them (500 on an emulated board)."""

    optional: ClassVar[bool] = False

    @property
    def provenance(self) -> Literal["measured", "emulated"]:
        """How its figures are had."""
        return "emulated" if self.device.startswith(EMULATED) else "measured"

    @property
    def judges(self) -> Judges | None:
        """The board judges the files itself."""
        return Judges(self.samples or (500 if self.provenance == "emulated" else None))

    def usable(self) -> str | None:
        """Why it cannot be used."""
        if not self.device:
            return "say which board: --device user@host, or --device emulated-pi4"
        if self.provenance == "emulated":
            from targets.emulator.root import BOARDS
            from targets.emulator.world import unusable

            if self.device not in BOARDS:
                return str(unknown("board", self.device, BOARDS))
            return unusable()
        return None

    @contextlib.contextmanager
    def reach(self, say: Say) -> Iterator[Board]:
        """Connects, and sets the board up where it is not."""
        with self._ssh(say) as ssh:
            try:
                with reaching():
                    ssh.connect()
                    where = ssh.run("pwd").out.strip()
                    device, place = prepare(ssh, PurePosixPath(where) / FOLDER, home() / "wheels", say=say)
                remote = Remote(ssh, place)
                remote.tidy()
                yield Board(self._counted(remote), device, timed=self.provenance == "measured")
                remote.tidy()
            finally:
                ssh.close()

    def _counted(self, remote: Remote) -> Transport:
        """An emulated board counts instructions besides."""
        if self.provenance == "measured":
            return remote
        from targets.emulator.count import Counted
        from targets.emulator.root import BOARDS, make

        board = BOARDS[self.device]
        return Counted(remote, board, make(board, home() / "emulated"))

    @contextlib.contextmanager
    def _ssh(self, say: Say) -> Iterator[Ssh]:
        if self.provenance == "measured":
            yield Ssh(self.device)
            return
        from targets.emulator.world import running

        say(f"starting {self.device}")
        with running(self.device, home() / "emulated") as ssh:
            yield ssh
