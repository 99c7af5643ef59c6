"""The kernels' library, compiled by the machine's own compiler: `python -m targets.kernels.build`, and on first use."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

from pipeline.errors import UserError
from pipeline.places import home
from targets.runtimes._kernels import LIBRARY

NAMES = ("binary.cpp", "network.cpp", "onnxruntime.cpp", "litert.cpp", "peak.cpp")
SOURCES = tuple(Path(__file__).with_name(name) for name in NAMES)
HEADERS = tuple(source.with_suffix(".h") for source in SOURCES[:2])
COMPILERS = ("c++", "g++", "clang++")
CROSS = {"aarch64": "aarch64-linux-gnu", "armv7l": "arm-linux-gnueabihf", "armv8l": "arm-linux-gnueabihf"}
"""What Debian's compilers for other machines are called before "-g++", by the machines' names for themselves."""
SENT = ("-static-libstdc++", "-static-libgcc")
"""Of a library for a machine whose own may be older."""
OPTIONS = ("-std=c++17", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden", "-w")
"""No option names an instruction set: each path asks for its own, and which one runs is decided where it runs. Sums and products
of floats are rounded one by one, as in the frameworks, which no fused instruction does."""


def compiler() -> str:
    """The first C++ compiler that is installed; UserError where there is none."""
    for name in (os.environ.get("CXX"), *COMPILERS):
        if name and shutil.which(name):
            return name
    raise UserError(f"the kernels need a C++ compiler; found none of {', '.join(COMPILERS)} (Debian: apt-get install g++)")


def library() -> Path:
    """The library of these sources; built where it is not yet, by one process at a time."""
    return _built(compiler(), OPTIONS)


def library_for(machine: str) -> Path | None:
    """The same for another machine ("aarch64"); None where there is no compiler for it."""
    if machine == platform.machine():
        return library()
    program = f"{CROSS.get(machine, machine)}-g++"
    return _built(program, (*OPTIONS, *SENT)) if shutil.which(program) else None


def _built(program: str, options: tuple[str, ...]) -> Path:
    sources = b"\0".join(path.read_bytes() for path in (*SOURCES, *HEADERS))
    version = hashlib.sha256(sources + repr((program, options)).encode()).hexdigest()[:16]
    return compiled(home() / "kernels" / version / LIBRARY, SOURCES, options, program)


def compiled(target: Path, sources: tuple[Path, ...], options: tuple[str, ...], program: str) -> Path:
    """The file, which has a folder of its own; made where it is not yet, by one process at a time."""
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name("lock")):
        if not target.is_file():
            compile_to(target, sources, options, program)
    return target


def compile_to(target: Path, sources: tuple[Path, ...], options: tuple[str, ...], program: str | None = None) -> None:
    """Compiles to a file that is there whole or not at all; UserError with what the compiler (this machine's own) said."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        unfinished = Path(scratch) / target.name
        command = [program or compiler(), *options, "-o", str(unfinished), *map(str, sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip() or "nothing")
            raise UserError(f"{sources[0].name} cannot be compiled by {command[0]}: {said}")
        unfinished.replace(target)


if __name__ == "__main__":
    from targets.kernels.layer import instruction_sets

    print(f"{library()}: {', '.join(instruction_sets())}")
