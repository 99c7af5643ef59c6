"""The emulated Pi for tests: one world that they share, and a wire to it that can be cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from pipeline.core import Arrays
from pipeline.measure import Failure, Samples
from targets._sampling import Candidate, Measured, MeasureSet, Plan, sample
from targets.device.job import Sampling
from targets.emulator.world import running, unusable
from targets.transport.remote import Remote
from targets.transport.ssh import Ssh

PLACE = PurePosixPath("/home/pi/.edgepress")
ONCE = Plan(processes=1, sampling=Sampling(warmup=1, rounds=1, calls=2, steady_calls=1, energy_seconds=0))
HERE = pytest.mark.skipif(unusable() is not None, reason=unusable() or "")
GROUP = pytest.mark.xdist_group("emulated")


def measure(
    remote: Remote, candidate: Candidate, heard: Callable[..., None] = lambda *said: None, plan: Plan = ONCE
) -> tuple[Samples | Failure, Arrays | Failure, Measured]:
    """One candidate, timed and judged."""
    measured = sample(remote, [MeasureSet("onnxruntime", {"a": candidate})], plan, heard)
    return measured.sets[0]["a"], measured.judged[0]["a"], measured


class Wire:
    """Passes bytes between whoever connects to `port` and the device, until it is cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.connections = 0
        self.bytes_left: int | None = None
        """After so many bytes it is cut, once."""
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
                if self.bytes_left is not None and (left := self.bytes_left - len(chunk)) <= 0:
                    self.bytes_left = None
                    self.cut()
                elif self.bytes_left is not None:
                    self.bytes_left = left
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
