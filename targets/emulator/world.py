"""A world of its own in which another processor's programs run: a real sshd on loopback, behind it an emulated Raspberry Pi.

A private user namespace has a binfmt_misc of its own (Linux 6.7), so that qemu is registered for nobody else, and private
mounts, so that nothing outside build/ changes. sshd runs on this processor; what it starts for a login, in the board's root,
does not.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import UserError
from targets.emulator.root import BOARDS, Board, make
from targets.transport.ssh import Ssh

NEWNS, NEWUSER, NEWPID = 0x00020000, 0x10000000, 0x20000000
SET_PDEATHSIG = 1
MAGIC = {  # an ELF header of the architecture, and which of its bits matter
    "arm64": (
        rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00",
        rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
    ),
    "armhf": (
        rb"\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00",
        rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
    ),
}
PROGRAMS = {
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-arm-static": "qemu-user-static",
}
USERS = "root:x:0:0::/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\npi:*:1000:1000::/home/pi:/bin/sh\n"
SECONDS = 30
"""For sshd to answer."""


def unusable() -> str | None:
    """Why there can be no such world here; None when there can."""
    if sys.platform != "linux":
        return "the emulated Pi needs Linux"
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    if release < (6, 7):
        return f"the emulated Pi needs Linux 6.7 or later (binfmt_misc in a user namespace), this is {os.uname().release}"
    for program, package in (
        ("sshd", "openssh-server"),
        ("ssh-keygen", "openssh-client"),
        ("qemu-aarch64-static", "qemu-user-static"),
    ):
        if _program(program) is None:
            return f"the emulated Pi needs {program} (Debian: apt-get install {package})"
    if os.getuid() != 0 and _program("newuidmap") is None:
        return "the emulated Pi needs newuidmap, as nobody but root maps users without it (Debian: apt-get install uidmap)"
    if subprocess.run(["unshare", "--user", "--mount", "true"], capture_output=True, check=False).returncode:
        return "the emulated Pi needs user namespaces, which this machine does not allow"
    return None


@contextlib.contextmanager
def running(name: str, folder: Path) -> Iterator[Ssh]:
    """An emulated board that answers ssh on loopback, for as long as the context lasts.

    One at a time: two worlds on the same files would not see each other's processes. Whoever comes second waits.
    """
    from filelock import FileLock

    if reason := unusable():
        raise UserError(reason)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "world.lock"), _world(name, folder) as ssh:
        yield ssh


@contextlib.contextmanager
def _world(name: str, folder: Path) -> Iterator[Ssh]:
    board = BOARDS[name]
    root = make(board, folder)
    keys = _keys(folder / "ssh")
    port = _free_port()
    settings = _configure(folder / "ssh", keys, port, board)
    with (folder / "sshd.log").open("w") as log:
        command = [sys.executable, "-m", "targets.emulator.world", name, str(root), str(settings)]
        world = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(port, world, folder / "sshd.log")
        yield Ssh(
            f"pi@127.0.0.1:{port}",
            config=Path(os.devnull),
            known_hosts=settings / "known_hosts",
            keys=(settings / "key",),
        )
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(world.pid, signal.SIGKILL)
        world.wait()
        shutil.rmtree(settings, ignore_errors=True)


def _keys(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("host_key", "key"):
        if not (folder / name).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "edgepress", "-f", folder / name], check=True)
    return folder


def _configure(folder: Path, keys: Path, port: int, board: Board) -> Path:
    """sshd's files, in a folder of this port: two worlds may run at once."""
    place = folder / str(port)
    place.mkdir(exist_ok=True)
    (place / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys}/host_key\nAuthorizedKeysFile {place}/authorized_keys\n"
        "PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin no\nAllowUsers pi\nChrootDirectory /mnt\nSubsystem sftp internal-sftp\n"
        f'SetEnv QEMU_CPU={board.cpu} HWLOC_SYNTHETIC="core:4 pu:1"\n'
    )
    (place / "authorized_keys").write_bytes((keys / "key.pub").read_bytes())
    (place / "known_hosts").write_text(f"[127.0.0.1]:{port} {(keys / 'host_key.pub').read_text()}")
    (place / "key").write_bytes((keys / "key").read_bytes())
    (place / "key").chmod(0o600)
    (place / "passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\npi:*:1000:1000::/home/pi:/bin/sh\n"
    )
    (place / "cpuinfo").write_text(board.cpuinfo)
    return place


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, world: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if world.poll() is not None:
            last = (log.read_text().strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"the emulated Pi did not start: {last}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
            if probe.recv(4) == b"SSH-":
                return
        time.sleep(0.05)
    raise UserError(f"the emulated Pi does not answer after {SECONDS} s: {log}")


def _program(name: str) -> Path | None:
    """A program, also where only root's PATH has it."""
    places = (Path(place) / name for place in (*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"))
    return next((place for place in places if place.is_file()), None)


def enter(kinds: int = NEWNS | NEWUSER | NEWPID) -> None:
    """Goes on in a child that is root of namespaces of its own; this process waits for it and ends with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    ready, mapped = os.pipe(), os.pipe()
    child = os.fork()
    if child:
        os.read(ready[0], 1)
        _map(child)
        os.write(mapped[1], b"x")
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    libc.prctl(SET_PDEATHSIG, signal.SIGKILL)
    if libc.unshare(kinds):
        sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
    os.write(ready[1], b"x")
    os.read(mapped[0], 1)
    os.setgid(0)
    os.setuid(0)
    os.setgroups([])
    init = os.fork()  # the first process of the new process namespace: with it, all of them end
    if init:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(init, 0)[1]))
    libc.prctl(SET_PDEATHSIG, signal.SIGKILL)


def _map(child: int) -> None:
    """Users and groups of the new namespace: as they are for root, otherwise what newuidmap grants."""
    if os.getuid() == 0:
        for kind in ("uid", "gid"):
            Path(f"/proc/{child}/{kind}_map").write_text("0 0 65536\n")
        return
    for kind, own in (("uid", os.getuid()), ("gid", os.getgid())):
        granted = Path(f"/etc/sub{kind}").read_text().splitlines()
        first = next(line.split(":")[1] for line in granted if line.split(":")[0] in (os.environ.get("USER"), str(os.getuid())))
        subprocess.run([f"new{kind}map", str(child), "0", str(own), "1", "1", first, "65535"], check=True)


def mount(*arguments: str | Path) -> None:
    """As the program of this name."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


def emulate(board: Board) -> None:
    """Registers a board's emulator with the kernel, for this namespace alone; mounts are nobody else's from here on."""
    mount("--make-rprivate", "/")
    mount("-t", "binfmt_misc", "none", "/proc/sys/fs/binfmt_misc")
    magic, mask = MAGIC[board.architecture]
    register = b":edgepress:M::" + magic + b":" + mask + b":" + os.fsencode(_program(board.emulator) or "") + b":OCF"
    Path("/proc/sys/fs/binfmt_misc/register").write_bytes(register)


def main(name: str, root: Path, settings: Path) -> None:
    """Enters the world, furnishes it and becomes its sshd."""
    board = BOARDS[name]
    enter()
    emulate(board)
    mount("-t", "proc", "proc", "/proc")
    mount("--bind", root, "/mnt")
    mount("--rbind", "/proc", "/mnt/proc")
    mount("--bind", settings / "cpuinfo", "/mnt/proc/cpuinfo")
    mount("--rbind", "/dev", "/mnt/dev")
    mount("-t", "tmpfs", "-o", "size=64m,mode=1777", "none", "/mnt/tmp")
    mount("--bind", settings / "passwd", "/etc/passwd")
    mount("-t", "tmpfs", "none", "/run")
    Path("/run/sshd").mkdir(mode=0o755)
    os.execv(str(_program("sshd")), ["/usr/sbin/sshd", "-D", "-e", "-f", str(settings / "sshd_config")])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
