"""What every file of this folder offers: a runtime on a GPU. Nothing of a GPU's driver is begun before `refusal` or `load`.

A process that has begun CUDA must not fork, and both the runner and whoever asks for reasons do: `missing` only looks for files.
"""

from __future__ import annotations

import ctypes
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from targets.runtimes._base import Predictor, installed_version, why_missing

NVIDIA = ("libcuda.so.1", "NVIDIA's driver (libcuda.so.1)")
INTEL = ("libOpenCL.so.1", "OpenCL (libOpenCL.so.1) for Intel's")


@dataclass(frozen=True)
class GpuRuntime(ABC):
    """One inference runtime on a GPU, in one precision. `Runtime`'s contract, and how to ask the libraries themselves."""

    format: ClassVar[str]
    packages: ClassVar[Mapping[str, str]]
    precisions: ClassVar[tuple[str, ...]]
    """The last part of its names: torch_eager_fp32, torch_eager_fp16 ..."""
    driver: ClassVar[tuple[str, str]] = NVIDIA
    """The shared library without which there is no such GPU, and what to call it."""

    precision: str
    device: str = "cuda"
    """"cpu" runs the same code where there is no GPU: for tests, which hold it against float32."""

    @abstractmethod
    def modules(self) -> tuple[str, ...]:
        """What `load` imports, to be imported before a load is timed."""

    def missing(self) -> str | None:
        """Why it cannot be used here, as far as files tell; None when nothing speaks against it."""
        library, what = self.driver
        return why_missing(self.packages) or (None if has_library(library) else f"{what} is not installed")

    @abstractmethod
    def refusal(self) -> str | None:
        """Why the libraries themselves say that it cannot be used. Begins the driver: for a process that ends thereafter."""

    def version(self) -> str:
        """The version of the package."""
        return installed_version(self.packages)

    @abstractmethod
    def load(self, files: list[Path], threads: int) -> Predictor:
        """A predictor from the files of one artifact. Unsupported for a model that this precision does not fit."""


def names() -> dict[str, GpuRuntime]:
    """Every runtime of this folder in each of its precisions, by its name."""
    found: dict[str, GpuRuntime] = {}
    for info in pkgutil.iter_modules(importlib.import_module(__package__).__path__):
        if not info.name.startswith("_"):
            module = importlib.import_module(f"{__package__}.{info.name}")
            (kind,) = (value for value in vars(module).values() if getattr(value, "__final__", False))
            found |= {f"{info.name}_{precision}": kind(precision) for precision in kind.precisions}
    return found


def has_library(name: str) -> bool:
    """Whether a shared library is here. Loading a driver's begins nothing."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
