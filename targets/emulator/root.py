"""The files of an emulated Raspberry Pi: a Debian for its processor, out of Debian's own packages. 64-bit Raspberry Pi OS is one.

Nothing is installed outside the folder and no package's script is run: apt keeps its state there, and a package is unpacked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from targets.emulator.debian import unpack

PYTHON = (
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libssl3", "libffi8", "liblzma5", "libbz2-1.0", "libuuid1"),
    *("libcrypt1", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
)
SHELL = ("base-files", "dash", "coreutils", "libselinux1", "libacl1", "libattr1", "libgmp10", "libpcre2-8-0")
NUMPY = ("python3-numpy", "libblas3", "liblapack3", "libgfortran5")
"""Of the 32-bit one: there is no wheel of numpy for it."""
VERSION = 5
"""Of what this file makes; another one is made anew."""


@dataclass(frozen=True)
class Board:
    """What is emulated: a Raspberry Pi's processor, and the Debian that runs on it."""

    name: str
    cpu: str
    """As qemu calls it."""
    part: str
    """Arm's number of the core, as /proc/cpuinfo has it."""
    architecture: str
    """As Debian calls it."""
    features: str

    @property
    def emulator(self) -> str:
        """The qemu that runs its programs."""
        return {"arm64": "qemu-aarch64-static", "armhf": "qemu-arm-static"}[self.architecture]

    @property
    def cpuinfo(self) -> str:
        """What its /proc/cpuinfo says: programs choose their kernels by it."""
        core = (
            f"Features\t: {self.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n"
            f"CPU part\t: {self.part}\nCPU revision\t: 3\n\n"
        )
        return "".join(f"processor\t: {number}\nBogoMIPS\t: 108.00\n{core}" for number in range(4)) + f"Model\t\t: {self.name}\n"


BASE = "fp asimd evtstrm crc32 cpuid"
BOARDS = {
    "emulated-pi4": Board("Raspberry Pi 4 Model B (emulated)", "cortex-a72", "0xd08", "arm64", BASE),
    "emulated-pi5": Board("Raspberry Pi 5 Model B (emulated)", "cortex-a76", "0xd0b", "arm64", f"{BASE} asimdhp asimddp"),
    "emulated-pi4-32": Board(  # qemu has no 32-bit cortex-a72; of its others this one has what 32-bit programs find there
        "Raspberry Pi 4 Model B (emulated)", "cortex-a15", "0xd08", "armhf", "half thumb fastmult vfp edsp neon vfpv3 vfpv4 idiva"
    ),
}


def make(board: Board, folder: Path, say: Callable[[str], None] = lambda line: None) -> Path:
    """The root folder of a board's Debian under `folder`, made unless it is there."""
    from filelock import FileLock

    packages = (*PYTHON, *SHELL, *(NUMPY if board.architecture == "armhf" else ()))
    wanted = hashlib.sha256(repr((VERSION, packages)).encode()).hexdigest()[:12]
    root = folder / f"root-{board.cpu}-{board.architecture}-{wanted}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "root.lock"):
        if root.is_dir():
            return root
        say(f"fetching {len(packages)} packages of Debian for {board.architecture}")
        fresh = folder / ".root"
        shutil.rmtree(fresh, ignore_errors=True)
        unpack(board.architecture, packages, folder / f"apt-{board.architecture}", fresh)
        _finish(fresh, board)
        fresh.rename(root)
    return root


def _finish(root: Path, board: Board) -> None:
    """What the packages' scripts would have done, as far as it matters here."""
    for name, target in (("python3", "python3.11"), ("sh", "dash")):
        link = root / ("usr/bin" if name == "python3" else "bin") / name
        if not link.exists() and not link.is_symlink():
            link.symlink_to(target)
    for name, text in (
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\npi:x:1000:1000::/home/pi:/bin/sh\n"),
        ("etc/group", "root:x:0:\npi:x:1000:\n"),
        ("etc/hostname", "emulated-pi\n"),
        ("sys/devices/system/cpu/possible", "0-3\n"),
        ("sys/devices/system/cpu/present", "0-3\n"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "proc" / "cpuinfo").write_text(board.cpuinfo)  # for who runs its programs without the world around them
    home = root / "home" / "pi"
    home.mkdir(parents=True)
    if os.getuid() == 0:
        os.chown(home, 1000, 1000)
    for blas, library in (("blas", "libblas.so.3"), ("lapack", "liblapack.so.3")):  # Debian's alternatives
        for found in root.glob(f"usr/lib/*/{blas}/{library}"):
            (found.parent.parent / library).symlink_to(f"{blas}/{library}")
    root.chmod(0o755)
