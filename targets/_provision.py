"""Sets a device up, once: a Python environment of its own, the runtimes it can have, the runner. Then it is found again.

    HOME/env-HASH     a venv with numpy and the runtimes; HASH is of the wheels in it
    HOME/code-HASH    the runner, the judges and what they import
    HOME/files, jobs  see targets/device/keeper.py

Nothing is downloaded by the device: the wheels come over the channel, so a board without a network will do. They are fetched
here with pip, for the device's Python and processor, with the versions that we run ourselves.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from pipeline.errors import UserError
from pipeline.files import file_sha256
from pipeline.registry import ROOT
from pipeline.sources import version
from targets._device import Say
from targets._whole import done, push, sweep, there, whole
from targets.transport.remote import Channel, Finished, Place, last_line

SHIPPED = (
    "targets/__init__.py",
    "targets/device/*.py",
    "targets/runtimes/*.py",
    "models/__init__.py",
    "models/tasks/*.py",
    "models/data/__init__.py",
    "models/data/_subwords.py",
    "pipeline/__init__.py",
    "pipeline/core.py",
    "pipeline/errors.py",
    "pipeline/evaluate.py",
    "pipeline/options.py",
    "pipeline/registry.py",
)
"""The runner, the judges, and what they import on a device."""
GLIBC = range(17, 42)
"""Minor versions of glibc 2 that a wheel may ask for: pip takes only tags that it is told."""
ASK = (
    "import json, os, platform, shutil, struct, sys\n"
    "print(json.dumps({'python': sys.version_info[:2], 'machine': platform.machine(), 'bits': struct.calcsize('P') * 8, "
    "'glibc': platform.libc_ver()[1], 'free': shutil.disk_usage(os.path.expanduser('~')).free}))"
)
ROOM = 600_000_000
"""Bytes that the environment takes on the device, wheels and what is unpacked of them."""


@dataclass(frozen=True)
class Device:
    """What a device is, as far as it decides what is sent there."""

    machine: str
    bits: int
    python: tuple[int, int]
    glibc: tuple[int, int]

    def __str__(self) -> str:
        return (
            f"{self.machine}, {self.bits} bits, Python {self.python[0]}.{self.python[1]}, glibc {self.glibc[0]}.{self.glibc[1]}"
        )


def wanted(device: Device) -> dict[str, str]:
    """The packages for a device and their versions: ours, or the last that it can have.

    >>> sorted(wanted(Device("aarch64", 64, (3, 11), (2, 36))))
    ['ai-edge-litert', 'numpy', 'onnxruntime', 'openvino']
    >>> wanted(Device("armv7l", 32, (3, 11), (2, 36)))
    {'tflite-runtime': '2.14.0'}
    """
    if device.bits == 32:  # numpy is the device's own: there is no wheel of it for 32-bit ARM
        return {"tflite-runtime": "2.14.0"}
    return {name: version(name) for name in ("numpy", "onnxruntime", "ai-edge-litert", "openvino")}


def prepare(
    channel: Channel, home: PurePosixPath, cache: Path, python: str = "python3", say: Say = lambda line: None
) -> tuple[Device, Place]:
    """Sets the device up as far as it is not; says what it is, and where things are there."""
    device = ask(channel, python)
    done(channel, f"mkdir -p '{home}/files' '{home}/jobs' && chmod 700 '{home}'")
    sweep(channel, home)
    wheels = download(device, cache, say)
    names = {path.name: file_sha256(path) for path in wheels}
    env = home / f"env-{_hash(names)}"
    if not there(channel, env):
        _install(channel, env, wheels, device, python, say)
    place = home / f"code-{hashlib.sha256(code()).hexdigest()[:16]}"
    send_code(channel, place, python, say)
    return device, Place(home, place, env, _site(env, device), (f"{env}/bin/python",))


def ask(channel: Channel, python: str = "python3") -> Device:
    """What the device is. UserError for one that has no Python that we can use."""
    done = channel.run(f'{python} -c "{ASK}"')
    if done.code:
        raise UserError(f"the device has no usable {python} ({last_line(done)}); Raspberry Pi OS brings Python 3.11 or later")
    found = json.loads(done.out.splitlines()[-1])
    glibc = tuple(int(part) for part in (found["glibc"] or "0.0").split(".")[:2])
    device = Device(found["machine"], found["bits"], tuple(found["python"]), (glibc[0], glibc[1]))
    if device.python < (3, 11):
        raise UserError(f"the device has {device}; its Python must be 3.11 or later")
    if device.machine not in ("aarch64", "armv7l", "armv8l", "x86_64"):
        raise UserError(f"the device is {device}: expected aarch64, armv7l or x86_64, for which our runtimes are built")
    if found["free"] < ROOM:
        raise UserError(f"the device has {found['free'] / 1e6:.0f} MB free in its home, expected at least {ROOM / 1e6:.0f} MB")
    return device


def download(device: Device, folder: Path, say: Say) -> list[Path]:
    """The wheels for a device, out of a folder that keeps them."""
    packages = [f"{name}=={number}" for name, number in wanted(device).items()]
    place = folder / _hash({"packages": packages, "device": str(device)})
    if not (place / "complete").is_file():
        say(f"fetching {', '.join(wanted(device))} for {device}")
        place.mkdir(parents=True, exist_ok=True)
        kind = "armv7l" if device.bits == 32 else device.machine
        tags = [f"manylinux_2_{minor}_{kind}" for minor in GLIBC if minor <= device.glibc[1]] + [f"manylinux2014_{kind}"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
        command += ["--dest", str(place), "--implementation", "cp", "--python-version", ".".join(map(str, device.python))]
        command += [word for tag in tags for word in ("--platform", tag)]
        command += ["--no-deps"] if device.bits == 32 else []
        done = subprocess.run([*command, *packages], capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"no wheels for {device}: {last_line(Finished(done.returncode, done.stdout, done.stderr))}")
        (place / "complete").touch()
    return sorted(place.glob("*.whl"))


@cache
def code() -> bytes:
    """What runs on the device, as a zip that is the same every time. annotated-types is one small file of the judges' needs."""
    import annotated_types

    files = {path.relative_to(ROOT).as_posix(): path for pattern in SHIPPED for path in sorted(ROOT.glob(pattern))}
    files["annotated_types/__init__.py"] = Path(annotated_types.__file__)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files.items():
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
    return whole.getvalue()


def _install(channel: Channel, env: PurePosixPath, wheels: list[Path], device: Device, python: str, say: Say) -> None:
    """A venv without pip: a wheel is a zip, and unpacking it is what installing it means."""
    system = "--system-site-packages " if device.bits == 32 else ""
    with whole(channel, env) as part:
        done(channel, f"{python} -m venv --without-pip {system}'{part}'")
        for path in wheels:
            say(f"sending {path.name} ({path.stat().st_size / 1e6:.0f} MB)")
            there = push(channel, path, part)
            done(channel, f"{python} -m zipfile -e '{there}' '{_site(part, device)}' && rm '{there}'")
        if device.bits == 32 and channel.run(f"'{part}/bin/python' -c 'import numpy'").code:
            raise UserError(
                "the device has no numpy, of which there is no wheel for 32-bit ARM: `sudo apt install python3-numpy`"
            )


def _site(env: PurePosixPath, device: Device) -> PurePosixPath:
    return env / "lib" / f"python{device.python[0]}.{device.python[1]}" / "site-packages"


def send_code(channel: Channel, place: PurePosixPath, python: str, say: Say) -> None:
    """The runner and the judges, unless they are there; `python` starts one that can unzip them."""
    if there(channel, place):
        return
    say("sending the runner")
    with tempfile.TemporaryDirectory() as scratch, whole(channel, place) as part:
        path = Path(scratch) / "code.zip"
        path.write_bytes(code())
        archive = push(channel, path, part)
        done(channel, f"{python} -m zipfile -e '{archive}' '{part}' && rm '{archive}'")


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
