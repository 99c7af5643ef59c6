"""A phone for tests: a real adbd (Debian's) in a network of its own, whose programs for arm64 run under qemu.

What it cannot show is Android: its kernel's rules for a shell, its own small programs, its heat.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.registry import ROOT
from targets.emulator import world
from targets.emulator.debian import unpack
from targets.emulator.root import BOARDS
from targets.transport.adb import Adb
from targets.transport.remote import ConnectionLost

NEWNET = 0x40000000
SMALL = "/mnt/local/small"
"""A folder of the phone with room for 8 MB."""
ADBD = ("adbd", "android-libbase", "android-libboringssl", "android-liblog", "android-libcutils")
NEEDED = ("libprotobuf32", "libbrotli1", "liblz4-1", "libsystemd0", "libzstd1")
LIBRARIES = ("usr/lib/x86_64-linux-gnu/android", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
BOARD = BOARDS["emulated-pi5"]
DATA = "/mnt/local/tmp"
"""On the phone: /data/local/tmp stands for no folder here."""


def unusable() -> str | None:
    """Why there can be no such phone here."""
    if os.uname().machine != "x86_64" or shutil.which("adb") is None or shutil.which("apt-get") is None:
        return "the emulated phone needs an x86-64 Debian with adb"
    return world.unusable()


HERE = pytest.mark.skipif(unusable() is not None, reason=unusable() or "")


@contextlib.contextmanager
def phone(folder: Path) -> Iterator[Adb]:
    """A phone that answers adb, by an adb server of its own."""
    root = folder / "adbd"
    if not root.is_dir():
        fresh = folder / ".adbd"
        shutil.rmtree(fresh, ignore_errors=True)
        unpack("amd64", ADBD, folder / "apt-adbd", fresh, suite="bookworm-backports")
        unpack("amd64", NEEDED, folder / "apt-amd64", fresh)
        fresh.rename(root)
    for name in ("tmp", "small"):
        (folder / "data" / "local" / name).mkdir(parents=True, exist_ok=True)
    (folder / "uname").write_text('#!/bin/sh\n[ "$1" = -m ] && echo aarch64 || echo Linux\n')
    (folder / "uname").chmod(0o755)
    (folder / "cpuinfo").write_text(BOARD.cpuinfo)
    with socket.create_server(("127.0.0.1", 0)) as listening, (folder / "adbd.log").open("w") as log:
        serial = f"127.0.0.1:{listening.getsockname()[1]}"
        command = [sys.executable, __file__, str(folder), str(listening.fileno())]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        device = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, pass_fds=[listening.fileno()], start_new_session=True
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = {**os.environ, "ANDROID_ADB_SERVER_PORT": str(port), "HOME": str(folder)}
    subprocess.run(["adb", "start-server"], env=server, check=True, capture_output=True)
    try:
        adb = Adb(serial, port)
        end = time.monotonic() + 30
        while True:
            try:
                adb.connect()
                break
            except (ConnectionLost, UserError):  # not listening yet, or not yet seen by the server
                if time.monotonic() > end:
                    raise
                subprocess.run(["adb", "disconnect", serial], env=server, check=False, capture_output=True)
                time.sleep(0.2)
        yield adb
    finally:
        subprocess.run(["adb", "kill-server"], env=server, check=False, capture_output=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(device.pid, signal.SIGKILL)
        device.wait()


def _forward(listening: socket.socket) -> None:
    """Connections from outside to the adbd inside: the listening socket stayed in the network that it was made in."""

    def passing(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 16):
                sink.sendall(chunk)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    while True:
        near, _ = listening.accept()
        try:
            far = socket.create_connection(("127.0.0.1", 5555))
        except OSError:
            near.close()
            continue
        for pair in ((near, far), (far, near)):
            threading.Thread(target=passing, args=pair, daemon=True).start()


def main(folder: Path, descriptor: int) -> None:
    """The phone: its own users, mounts, processes and network."""
    world.enter(world.NEWUSER | world.NEWNS | world.NEWPID | NEWNET)
    world.emulate(BOARD)
    world.mount("-t", "proc", "proc", "/proc")
    world.mount("--bind", folder / "cpuinfo", "/proc/cpuinfo")
    world.mount("--bind", folder / "data", "/mnt")
    world.mount("-t", "tmpfs", "-o", "size=8m", "none", SMALL)
    world.mount("--bind", folder / "uname", "/usr/bin/uname")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        fcntl.ioctl(plain, 0x8914, struct.pack("16sh14x", b"lo", 1 | 64))  # SIOCSIFFLAGS: up, running
    libraries = ":".join(str(folder / "adbd" / name) for name in LIBRARIES)
    environment = {
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": libraries,
        "QEMU_CPU": BOARD.cpu,
        "HWLOC_SYNTHETIC": "core:4 pu:1",
    }
    subprocess.Popen([folder / "adbd/usr/lib/android-sdk/platform-tools/adbd"], env=environment, cwd="/mnt")
    _forward(socket.socket(fileno=descriptor))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
