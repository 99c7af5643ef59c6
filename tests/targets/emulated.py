"""The emulated Pi for tests: one world that they share, and a wire to it that can be cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from targets.emulator.world import running, unusable
from targets.transport.ssh import Ssh

HERE = pytest.mark.skipif(unusable() is not None, reason=unusable() or "")
GROUP = pytest.mark.xdist_group("emulated")


class Wire:
    """Passes bytes between whoever connects to `port` and the device, until it is cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Ends every connection, as an unplugged cable does in the end."""
        ending, self._open = self._open, []
        for each in ending:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        """Lets nobody connect any more, either."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # closing alone would leave the thread in its `accept`
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self.connections += 1
                self._open += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 16):
                sink.sendall(chunk)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def wired(ssh: Ssh) -> Iterator[tuple[Wire, Ssh]]:
    """The same device through a wire of its own."""
    wire = Wire(int(ssh.address.rpartition(":")[2]))
    known = ssh.known_hosts.with_name(f"known_hosts-{wire.port}")
    known.write_text(f"[127.0.0.1]:{wire.port} {ssh.known_hosts.read_text().partition(' ')[2]}")
    through = Ssh(f"pi@127.0.0.1:{wire.port}", ssh.config, known, ssh.keys)
    try:
        yield wire, through
    finally:
        through.close()
        wire.close()


@contextlib.contextmanager
def world(home: Path, name: str = "emulated-pi4") -> Iterator[Ssh]:
    """A board that answers."""
    with running(name, home / "emulated") as ssh:
        ssh.connect()
        yield ssh
        ssh.close()
