"""What every file of this folder offers, and the words they share. Shipped to devices: standard library and numpy only.

The contract on errors: ValueError for a file or an input that a runtime cannot take, in one line; RuntimeError for what
fails while running. A runtime translates its own exception classes into these two. Unsupported is a ValueError for what a
runtime cannot do by its nature, which a report tells apart from what went wrong.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = dict[str, Array]


class Predictor(Protocol):
    """A loaded file: named arrays in, named arrays out. The outputs are the caller's own, not views of the runtime's memory."""

    @property
    def batch(self) -> int | None:
        """The one batch size that the file takes; None takes any."""

    def __call__(self, inputs: Arrays) -> Arrays: ...


class Unsupported(ValueError):
    """A file that is as it should be, and that this runtime or precision cannot take: the reason, in one line."""


class Staged(ABC):
    """A predictor on an accelerator: its inputs can wait there, so that a call is timed without the copies to and fro."""

    @property
    @abstractmethod
    def batch(self) -> int | None:
        """The one batch size that it takes; None takes any."""

    @abstractmethod
    def __call__(self, inputs: Arrays) -> Arrays:
        """Named arrays in, named arrays out, copied there and back."""

    @abstractmethod
    def stage(self, inputs: Arrays) -> Callable[[], int]:
        """Copies the inputs to the device; what it returns makes one call there and says its nanoseconds by that clock."""

    @abstractmethod
    def peak_bytes(self) -> int | None:
        """The most memory of the device that it held so far; None where nobody says."""


class Runtime(Protocol):
    """One inference runtime: how to tell whether it is here, and how to load a file."""

    format: ClassVar[str]
    """The format of the files that it loads."""
    packages: ClassVar[Mapping[str, str]]
    """The distributions that bring it and what they are imported as; the first that is here is used."""

    @property
    def precision(self) -> str:
        """In which it computes a float file: fp32, fp16, bf16, int8."""

    def modules(self) -> tuple[str, ...]:
        """What `load` imports, to be imported before a load is timed."""

    def missing(self) -> str | None:
        """Why it cannot be used here and what would change that; None when it can. Imports nothing heavy."""

    def version(self) -> str:
        """The version of the package."""

    def load(self, files: list[Path], threads: int) -> Predictor:
        """A predictor from the files of one artifact, the one to load first."""


@dataclass(frozen=True)
class Input:
    """What a file says of one input: its shape, None where any size will do, and its numpy dtype."""

    shape: tuple[int | None, ...]
    dtype: str

    def accepts(self, array: Array) -> bool:
        """Whether the array has this shape and dtype."""
        return (
            array.dtype == self.dtype
            and array.ndim == len(self.shape)
            and all(want in (None, have) for want, have in zip(self.shape, array.shape, strict=True))
        )

    def __str__(self) -> str:
        return f"{self.dtype} ({', '.join('any' if size is None else str(size) for size in self.shape)})"


def find(name: str) -> Runtime:
    """The runtime of that name, from this folder; the device has no `pipeline.registry`.

    The runtimes of gpu/ come in precisions, which end their names: `torch_eager_fp16` is torch_eager.py's class, given "fp16".
    """
    runtime: Runtime
    if name.isidentifier() and not name.startswith("_"):
        for stem in (name, f"{name}_"):
            if found := _final_class("targets.runtimes", stem):
                runtime = found()
                return runtime
        stem, _, precision = name.rpartition("_")
        if stem and (found := _final_class("targets.runtimes.gpu", stem)) and precision in found.precisions:
            runtime = found(precision)
            return runtime
    raise ValueError(f"no runtime is named {name!r} here")


def _final_class(package: str, stem: str) -> Any:
    """The class of a package's file; None where there is no such file."""
    if importlib.util.find_spec(package) is None:
        return None
    spec = importlib.util.find_spec(f"{package}.{stem}")
    if spec is None or spec.submodule_search_locations is not None:
        return None
    module = importlib.import_module(spec.name)
    return next(value for value in vars(module).values() if getattr(value, "__final__", False))


def present(packages: Mapping[str, str]) -> tuple[str, str]:
    """The distribution that is used and its module; the first one where none is here."""
    here = (each for each in packages.items() if importlib.util.find_spec(each[1]) is not None)
    return next(here, next(iter(packages.items())))


def why_missing(packages: Mapping[str, str]) -> str | None:
    """The reason why none of them can be imported."""
    package, module = present(packages)
    if importlib.util.find_spec(module) is None:
        return f"{package} is not installed; `pip install {package}` would make it usable"
    return None


def installed_version(packages: Mapping[str, str]) -> str:
    """Of the distribution that is used."""
    return importlib.metadata.version(present(packages)[0])


def fixed_batch(expected: Mapping[str, Input]) -> int | None:
    """The leading size that all inputs share; None when any of them leaves it open."""
    leading = {spec.shape[0] for spec in expected.values() if spec.shape}
    return leading.pop() if len(leading) == 1 else None


def mismatch(expected: Mapping[str, Input], inputs: Arrays) -> str | None:
    """The first way in which the inputs are not the expected ones, in one line.

    >>> mismatch({"x": Input((1, None), "float32")}, {"x": np.zeros((2, 5), "float32")})
    "input 'x': expected float32 (1, any), found float32 (2, 5)"
    """
    if set(inputs) != set(expected):
        return f"inputs: expected {', '.join(sorted(expected))}; found {', '.join(sorted(inputs)) or 'none'}"
    for name, spec in expected.items():
        array = np.asarray(inputs[name])
        if not spec.accepts(array):
            return f"input {name!r}: expected {spec}, found {array.dtype} ({', '.join(map(str, array.shape))})"
    return None


def refuse(file: str, expected: Mapping[str, Input], inputs: Arrays, error: Exception | None = None) -> NoReturn:
    """Raises what went wrong in a call of a file: the inputs if they do not fit, else the runtime's own words.

    Called after the runtime has failed, so that a good call pays nothing for the check.
    """
    if problem := mismatch(expected, inputs):
        raise ValueError(f"{file}: {problem}") from error
    raise RuntimeError(f"{file}: {one_line(error)}") from error


def one_line(error: BaseException | None) -> str:
    """An error's words in one line, after its class where that says more than that a value or a run was bad."""
    name = "" if type(error) in (ValueError, RuntimeError, Unsupported) else f"{type(error).__name__}: "
    return " ".join(f"{name}{error}".split())
