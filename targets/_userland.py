"""A Python with numpy and the runtimes for a phone: Debian's own arm64 programs, which bring their own libraries and loader.

A plain `adb shell` may run any program in /data/local/tmp; a glibc program runs through its own loader. No root on the phone,
nothing is installed there.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from pipeline.errors import UserError
from pipeline.files import file_sha256
from targets._device import Say
from targets._provision import Device, code, download, send_code
from targets._whole import done, push, sweep, there, whole
from targets.emulator.debian import unpack
from targets.emulator.root import PYTHON
from targets.transport.remote import Channel, Place

PHONE = Device("aarch64", 64, (3, 11), (2, 36))
"""What the userland is, whatever the phone."""
LIBRARIES = ("lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu")
LEFT_OUT = ("usr/share",)
VERSION = 1
"""Of what this file makes; another one is made anew."""


def prepare(channel: Channel, home: PurePosixPath, cache: Path, say: Say = lambda line: None) -> Place:
    """Sets the phone up as far as it is not; says where things are there."""
    machine = channel.run("uname -m").out.strip()
    if machine != "aarch64":
        raise UserError(f"the phone is {machine or 'silent'}, expected aarch64: 64-bit Android")
    done(channel, f"mkdir -p '{home}/files' '{home}/jobs' '{home}/tmp' && chmod 700 '{home}'")
    sweep(channel, home)
    path = archive(cache, say)
    place = home / f"userland-{file_sha256(path)[:16]}"
    if not there(channel, place):
        with whole(channel, place) as part:
            say(f"sending Python and the runtimes ({path.stat().st_size / 1e6:.0f} MB)")
            sent = push(channel, path, part)
            say("unpacking them on the phone")
            done(channel, f"tar -xzf '{sent}' -C '{part}' && rm '{sent}'")
    root = place / "root"
    start = (
        str(root / "lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"),
        "--library-path",
        ":".join(str(root / name) for name in LIBRARIES),
        str(root / "usr/bin/python3.11"),
    )
    variables = (("PYTHONHOME", str(root / "usr")), ("TMPDIR", str(home / "tmp")))
    ours = home / f"code-{hashlib.sha256(code()).hexdigest()[:16]}"
    found = Place(home, ours, place, place / "site", start, variables)
    send_code(channel, ours, f"PYTHONHOME='{root}/usr' {' '.join(start)}", say)
    return found


def archive(folder: Path, say: Say) -> Path:
    """The userland as a .tar.gz that is the same every time it is made, kept in a folder."""
    from filelock import FileLock

    wheels = download(PHONE, folder / "wheels", say)
    name = hashlib.sha256(repr((VERSION, PYTHON, [path.name for path in wheels])).encode()).hexdigest()[:12]
    target = folder / f"userland-{name}.tar.gz"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_suffix(".lock")):
        if target.exists():
            return target
        say("making a Python for phones out of Debian's packages")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".userland-") as scratch:
            root, site = Path(scratch) / "root", Path(scratch) / "site"
            unpack("arm64", PYTHON, folder / "apt-arm64", root)
            for left_out in LEFT_OUT:
                shutil.rmtree(root / left_out, ignore_errors=True)
            for wheel in wheels:
                with zipfile.ZipFile(wheel) as packed:
                    packed.extractall(site)
            fresh = Path(scratch) / "userland.tar.gz"
            with tarfile.open(fresh, "w:gz", compresslevel=6) as packed_tar:
                for path in sorted(Path(scratch).rglob("*")):
                    if path != fresh:
                        _add(packed_tar, path, path.relative_to(scratch))
            fresh.replace(target)
    return target


def _add(archive: tarfile.TarFile, path: Path, name: Path) -> None:
    """One file, link or folder, without what differs from one making to the next."""
    entry = archive.gettarinfo(str(path), str(name))
    entry.mtime = entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    if entry.islnk():
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size  # Android makes no hard links
    content = io.BytesIO(path.read_bytes()) if entry.isreg() else None
    archive.addfile(entry, content)
