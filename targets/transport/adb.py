"""A phone over adb: the system's adb server, shell protocol version 2. `SERIAL`, `host:port`, or the one phone that is there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from targets.transport.remote import ConnectionLost, Finished, Heard

SECONDS = 15
STDOUT, STDERR, EXIT = 1, 2, 3
"""Of the shell protocol: the kinds of its packets."""


@dataclass
class Adb:
    """A phone. Nothing is kept open between commands: the adb server holds the connection."""

    serial: str = ""
    port: int = field(default_factory=lambda: int(os.environ.get("ANDROID_ADB_SERVER_PORT", "5037")))
    """Of the adb server on this machine."""

    def connect(self) -> None:
        """Finds the phone. UserError where there is none, several and no word on which, or one that trusts nobody yet."""
        import adbutils

        if shutil.which("adb") is None:
            raise UserError("phones are reached with adb, which is not here (Debian: apt-get install adb)")
        try:
            client = self._client()
            if ":" in self.serial:
                client.connect(self.serial, timeout=SECONDS)
            found = {each.serial: each.state for each in client.list()}
        except (adbutils.AdbError, OSError) as error:
            raise ConnectionLost(f"adb does not answer ({_plain(error)})") from error
        if not self.serial:
            if len(found) != 1:
                names = ", ".join(found) or "none; is USB debugging on?"
                raise UserError(f"expected one phone, found {len(found)} ({names}); say which with --device SERIAL")
            (self.serial,) = found
        match found.get(self.serial):
            case "device":
                return
            case "unauthorized":
                raise UserError(
                    f"{self.serial}: the phone asks whether to trust this computer; say yes on its screen, then run again"
                )
            case None:
                raise UserError(f"{self.serial}: no such phone; adb sees {', '.join(found) or 'none'}")
            case state:
                raise ConnectionLost(f"{self.serial} is {state}")

    def close(self) -> None:
        """Nothing is open."""

    def run(self, command: str, heard: Heard | None = None) -> Finished:
        """Runs a line of the phone's `sh`."""
        out, errors, line = bytearray(), bytearray(), bytearray()
        with self._talking() as device:
            connection = device.open_transport(timeout=None)
            try:
                connection.send_command(f"shell,v2,raw:{command}")
                connection.check_okay()
                while True:
                    kind, data = _packet(connection.conn)
                    if kind == EXIT:
                        return Finished(data[0], out.decode(errors="replace"), errors.decode(errors="replace"))
                    if kind == STDERR:
                        errors += data
                    elif kind == STDOUT and heard is None:
                        out += data
                    elif kind == STDOUT and heard is not None:
                        *whole, rest = (bytes(line) + data).split(b"\n")
                        line = bytearray(rest)
                        for each in whole:
                            heard(each.decode(errors="replace").strip())
            finally:
                connection.close()

    def push(self, source: Path, target: str) -> None:
        """Copies a file under a name of its own, then renames it."""
        part = f"{target}.part"
        with self._talking() as device:
            try:
                device.sync.push(source, part, mode=0o644, check=True)
            except _adb_error() as error:
                done = self.run(f"rm -f '{part}'; df -k '{os.path.dirname(target)}' | tail -n 1")  # noqa: PTH120  # of the phone
                raise OSError(errno.ENOSPC, f"cannot write {Path(target).name} ({_plain(error)}; {done.out.strip()})") from error
        done = self.run(f"mv -f '{part}' '{target}'")
        if done.code:
            raise OSError(errno.EIO, f"cannot write {Path(target).name} ({done.errors.strip()})")

    def pull(self, source: str, target: Path, most: int) -> None:
        """Copies a file from there."""
        with self._talking() as device, target.open("wb") as here:
            copied = 0
            for chunk in device.sync.iter_content(source):
                copied += len(chunk)
                if copied > most:
                    raise OSError(errno.EFBIG, f"{source} has more than {most} bytes")
                here.write(chunk)

    @contextlib.contextmanager
    def reversed(self, port: int) -> Iterator[None]:
        """Meanwhile the phone's own localhost:port is that of this machine."""
        with self._talking() as device:
            device.reverse(f"tcp:{port}", f"tcp:{port}")
        try:
            yield
        finally:
            with contextlib.suppress(ConnectionLost), self._talking() as device:
                device.reverse_remove(f"tcp:{port}")

    @contextlib.contextmanager
    def _talking(self) -> Any:
        """The phone; whatever goes wrong on the way to it is a lost connection."""
        try:
            yield self._client().device(serial=self.serial)
        except (_adb_error(), ConnectionError, EOFError, TimeoutError) as error:
            raise ConnectionLost(f"the connection to {self.serial} was lost ({_plain(error)})") from error

    def _client(self) -> Any:
        import adbutils

        return adbutils.AdbClient(host="127.0.0.1", port=self.port, socket_timeout=SECONDS)


def _packet(connection: socket.socket) -> tuple[int, bytes]:
    """One packet of the shell protocol: a byte for its kind, four for its length, then as many."""
    head = _exactly(connection, 5)
    return head[0], _exactly(connection, int.from_bytes(head[1:], "little"))


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        chunk = connection.recv(count - len(found))
        if not chunk:
            raise EOFError("the phone said no more")
        found += chunk
    return bytes(found)


def _adb_error() -> type[Exception]:
    import adbutils

    kind: type[Exception] = adbutils.AdbError
    return kind


def _plain(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
