"""No runtime at all: a C file, compiled here by this machine's compiler for this machine's processor, and called."""

from __future__ import annotations

import ctypes
import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np

from targets.runtimes._base import Arrays, Input, Predictor, mismatch, one_line, refuse

INTERFACE = "edgepress.c/1"
"""Behind `//` on a C file's first line, before a JSON text: its name, its input's and its output's names and shapes, and whether
it calls our kernels."""
OPTIONS = ("-O3", "-ffp-contract=fast", "-fPIC", "-shared", "-w")


@final
@dataclass(frozen=True)
class Standalone:
    """One thread, however many are allowed. Compiling is part of the first load; later ones find what was made."""

    format: ClassVar[str] = "c"
    precision: ClassVar[str] = "fp32"
    packages: ClassVar[Mapping[str, str]] = {"g++": "ctypes"}
    """Debian's; any C++ compiler will do, for it compiles C as well."""

    def modules(self) -> tuple[str, ...]:
        """What `load` imports."""
        return ("targets.kernels.build",)

    def missing(self) -> str | None:
        """Why it cannot be used here."""
        from pipeline.errors import UserError
        from targets.kernels.build import compiler

        try:
            compiler()
        except UserError as error:
            return str(error)
        return None

    def version(self) -> str:
        """The compiler's number, and the line in which it says who it is."""
        from targets.kernels.build import compiler

        number, line = (_said(compiler(), option) for option in ("-dumpversion", "--version"))
        return f"{number} ({line})"

    def load(self, files: list[Path], threads: int) -> Predictor:
        """The compiled file. ValueError for one that is not ours, or does not compile."""
        file = files[0]
        name, expected, (output, *made), kernels = _interface(file)
        from pipeline.errors import UserError

        try:
            loaded: Any = ctypes.PyDLL(str(_compiled(file, kernels)))  # holds the interpreter's lock: one thread at a time
            begin, run = getattr(loaded, f"{name}_open"), getattr(loaded, f"{name}_run")
        except (UserError, OSError, AttributeError) as error:
            raise ValueError(f"{file.name}: {one_line(error)}") from error
        # Never closed: another predictor of the same file has the same memory.
        if begin():
            raise RuntimeError(f"{file.name}: there is not enough memory for it")
        run.restype, run.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p]
        return _Compiled(file.name, run, expected, output, tuple(made))


class _Compiled:
    """Checks its input before every call: behind it are bare pointers."""

    batch = 1

    def __init__(self, file: str, run: Any, expected: dict[str, Input], output: str, shape: tuple[int, ...]) -> None:
        self.file, self.expected = file, expected
        self._run, self._output, self._shape = run, output, shape
        (self._input,) = expected

    def __call__(self, inputs: Arrays) -> Arrays:
        """Named arrays in, named arrays out."""
        if mismatch(self.expected, inputs):
            refuse(self.file, self.expected, inputs)
        given, found = np.ascontiguousarray(inputs[self._input]), np.empty(self._shape, np.float32)
        self._run(given.ctypes.data, found.ctypes.data)
        return {self._output: found}


def _interface(file: Path) -> tuple[str, dict[str, Input], list[Any], bool]:
    """A C file's name, its input, its output's name and shape, and whether it calls the kernels; ValueError for another file.

    Its sizes are held against those that its code has, so that no array is too small for it.
    """
    text = file.read_text(errors="replace")
    try:
        mark, told = text.partition("\n")[0].removeprefix("// ").split(" ", 1)
        found = json.loads(told)
        name, (given, *taken), (_, *made) = found["name"], found["input"], found["output"]
        sizes = {end: re.search(rf"^#define {re.escape(name)}_{end} (\d+)", text, re.MULTILINE) for end in ("INPUT", "OUTPUT")}
        same = [size and int(size[1]) == prod(shape) for size, shape in zip(sizes.values(), (taken, made), strict=True)]
        if mark != INTERFACE or not all(same) or not all(isinstance(side, int) and side > 0 for side in (*taken, *made)):
            raise ValueError("other sizes")
        return name, {given: Input(tuple(taken), "float32")}, found["output"], bool(found["kernels"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file.name}: is no C file of Edgepress: its first line is not {INTERFACE} and what the code has"
        ) from error


def _compiled(file: Path, kernels: bool) -> Path:
    """The library made of a C file for this processor, by this compiler."""
    from pipeline.places import home
    from targets.device.host import facts
    from targets.kernels.build import SOURCES, compiled, compiler, library

    options = [*OPTIONS, "-march=native" if platform.machine() == "x86_64" else "-mcpu=native"]
    if kernels:  # found where it is now; before the C file, after whose kind every file is C
        ours = library()
        options += [f"-I{SOURCES[0].parent}", "-Wl,--no-as-needed", f"-Wl,-rpath,{ours.parent}", str(ours)]
    host = facts()
    key = [options, _said(compiler(), "--version"), host["cpu"], host["features"]]
    version = hashlib.sha256(json.dumps(key).encode() + file.read_bytes()).hexdigest()[:16]
    target = home() / "kernels" / "c" / version / f"{file.stem}.so"
    return compiled(target, (file,), (*options, "-std=c99", "-x", "c"), compiler())


def _said(program: str, option: str) -> str:
    """The first line of what a program says."""
    done = subprocess.run([program, option], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [""])[0]
