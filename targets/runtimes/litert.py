"""LiteRT (once TensorFlow Lite) on the CPU: one .tflite file with one signature, whose names are the inputs' and outputs'."""

from __future__ import annotations

import importlib
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np

from targets.runtimes._adapter import apart, beside, filled
from targets.runtimes._base import (
    Array,
    Arrays,
    Input,
    Predictor,
    Unsupported,
    fixed_batch,
    installed_version,
    one_line,
    present,
    refuse,
    why_missing,
)
from targets.runtimes._kernels import OPERATOR, library


@final
@dataclass(frozen=True)
class LiteRt:
    """The interpreter with its default kernels (XNNPACK where it applies)."""

    format: ClassVar[str] = "tflite"
    precision: ClassVar[str] = "fp32"
    packages: ClassVar[Mapping[str, str]] = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
    """tflite-runtime is LiteRT's old name; its last version, 2.14, is the only one for 32-bit ARM. It reads the same files."""

    def modules(self) -> tuple[str, ...]:
        """What `load` imports."""
        _, module = present(self.packages)
        return module, f"{module}.interpreter"

    def missing(self) -> str | None:
        """Why it cannot be used here."""
        return why_missing(self.packages)

    def version(self) -> str:
        """The version of the package."""
        return installed_version(self.packages)

    def load(self, files: list[Path], threads: int) -> Predictor:
        """An interpreter whose tensors are allocated for the file's own shapes."""
        interpreters = importlib.import_module(self.modules()[1])
        try:
            with files[0].open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                ours = delegates(interpreters, content, files)
            interpreter = interpreters.Interpreter(str(files[0]), num_threads=threads, experimental_delegates=ours)
            interpreter.allocate_tensors()
            # Raises ValueError unless there is exactly one signature.
            signature = interpreter.get_signature_runner()
            details = signature.get_input_details(), signature.get_output_details()
        except Unsupported as error:
            raise Unsupported(f"{files[0].name}: {error}") from error
        except (ValueError, RuntimeError, OSError) as error:
            raise ValueError(f"{files[0].name}: {one_line(error)}") from error
        loaded = _Interpreter(files[0].name, interpreter, *details)
        loaded.adapt(beside(files))
        return loaded


def delegates(interpreters: Any, content: bytes | mmap.mmap, files: list[Path] | None = None) -> list[Any]:
    """What runs our own operator, where a file asks for it. Unsupported where that is not to be had."""
    return [] if content.find(OPERATOR) < 0 else [interpreters.load_delegate(library(files or []))]


class _Interpreter:
    """Sets, invokes and gets by tensor index: a signature runner allocates anew in each call and takes 60 % longer."""

    def __init__(self, file: str, interpreter: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        self.file = file
        self._interpreter = interpreter
        self._places = {name: detail["index"] for name, detail in inputs.items()}
        self.expected, self._adapted = apart({name: _input(detail) for name, detail in inputs.items()})
        self._inputs = [(name, self._places[name]) for name in self.expected]
        self._adapter: list[tuple[int, Array]] = []
        self._int32 = {name for name, detail in inputs.items() if detail["dtype"] is np.int32}
        self._outputs = [(name, detail["index"]) for name, detail in outputs.items()]
        self.batch = fixed_batch(self.expected)

    def adapt(self, path: Path | None) -> None:
        """Takes another adapter, or none, without loading the base again. ValueError for a file that is none of this base."""
        self._adapter = [(self._places[name], array) for name, array in filled(self._adapted, path).items()]

    def __call__(self, inputs: Arrays) -> Arrays:
        interpreter = self._interpreter
        try:
            if len(inputs) != len(self._inputs):
                refuse(self.file, self.expected, inputs)
            if self._int32:
                inputs = self._narrowed(inputs)
            for name, index in self._inputs:
                interpreter.set_tensor(index, inputs[name])
            for index, array in self._adapter:  # each time: the memory of inputs is used for what comes later in a call
                interpreter.set_tensor(index, array)
            interpreter.invoke()
            return {name: interpreter.get_tensor(index) for name, index in self._outputs}
        except (ValueError, RuntimeError, KeyError) as error:
            refuse(self.file, self.expected, inputs, error)

    def _narrowed(self, inputs: Arrays) -> Arrays:
        """The converter turns a graph's int64 inputs into int32; callers keep to the graph. Floats stay, and are refused."""
        return {
            name: array.astype(np.int32) if name in self._int32 and array.dtype == np.int64 else array
            for name, array in inputs.items()
        }


def _input(detail: Mapping[str, Any]) -> Input:
    return Input(tuple(int(size) for size in detail["shape"]), np.dtype(detail["dtype"]).name)
