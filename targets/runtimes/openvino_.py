"""OpenVINO on the CPU: an .xml file and its .bin."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np

from targets.runtimes._adapter import apart, beside, filled
from targets.runtimes._base import (
    Arrays,
    Input,
    Predictor,
    Unsupported,
    fixed_batch,
    installed_version,
    one_line,
    refuse,
    why_missing,
)
from targets.runtimes._openvino import library

X86 = ("x86_64", "amd64", "i686", "i386")


@final
@dataclass(frozen=True)
class OpenVino:
    """One stream, tuned for the latency of single calls."""

    format: ClassVar[str] = "openvino"
    precision: ClassVar[str] = "fp32"
    packages: ClassVar[Mapping[str, str]] = {"openvino": "openvino"}

    def modules(self) -> tuple[str, ...]:
        """What `load` imports."""
        return ("openvino",)

    def missing(self) -> str | None:
        """Why it cannot be used here."""
        return why_missing(self.packages)

    def version(self) -> str:
        """The version of the package."""
        return installed_version(self.packages)

    def load(self, files: list[Path], threads: int) -> Predictor:
        """A model compiled for this CPU; compiling is part of the load."""
        core = library().Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # On CPUs with bf16 instructions the default computes float32 files in bfloat16, off by 0.02 in a logit.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            model = core.read_model(*map(str, files[:2]))
            if why := refusal(model):
                raise Unsupported(f"{files[0].name}: {why}")
            compiled = core.compile_model(model, "CPU", settings)
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"{files[0].name}: {one_line(error)}") from error
        loaded = Request(files[0].name, compiled)
        loaded.adapt(beside(files))
        return loaded


def refusal(model: Any) -> str | None:
    """Why the CPU plugin cannot run a model here that it runs elsewhere."""
    here = platform.machine()
    if here.lower() in X86 or not binary(model):
        return None
    return f"OpenVINO's BinaryConvolution computes wrong results on ARM, so its binary layers run on x86 only, and this is {here}"


def binary(model: Any) -> bool:
    """Whether it has layers of +-1."""
    return any(operation.get_type_name() == "BinaryConvolution" for operation in model.get_ops())


class Request:
    """One infer request, its own tensors filled and read in place: half the overhead of `infer(inputs)` (12 for 23 us)."""

    def __init__(self, file: str, compiled: Any) -> None:
        self.file = file
        self._request = compiled.create_infer_request()
        every = {port.any_name: _input(port) for port in compiled.inputs}
        self.expected, self._adapted = apart(every)
        self.batch = fixed_batch(self.expected)
        self._tensors = {name: self._request.get_input_tensor(place) for place, name in enumerate(every)}
        self._views = {name: self._tensors[name].data for name in self.expected}
        self._outputs = [(port.any_name, place) for place, port in enumerate(compiled.outputs)]

    def adapt(self, path: Path | None) -> None:
        """Takes another adapter, or none, without loading the base again. ValueError for a file that is none of this base."""
        for name, array in filled(self._adapted, path).items():
            np.copyto(self._tensors[name].data, array)

    def __call__(self, inputs: Arrays) -> Arrays:
        """Named arrays in, named arrays out."""
        request, views = self._request, self._views
        try:
            if len(inputs) != len(views):
                refuse(self.file, self.expected, inputs)
            for name, array in inputs.items():
                if array.shape != views[name].shape:
                    self._resize(name, inputs)
                np.copyto(views[name], array, casting="no")
            request.infer(share_outputs=True)
            return {name: request.get_output_tensor(place).data.copy() for name, place in self._outputs}
        except (RuntimeError, TypeError, KeyError) as error:
            refuse(self.file, self.expected, inputs, error)

    def _resize(self, name: str, inputs: Arrays) -> None:
        """Makes room for another batch size, where the file leaves it open."""
        array = inputs[name]
        if not self.expected[name].accepts(array):
            refuse(self.file, self.expected, inputs)
        self._tensors[name].shape = array.shape
        self._views[name] = self._tensors[name].data


def _input(port: Any) -> Input:
    shape = tuple(None if size.is_dynamic else size.get_length() for size in port.partial_shape)
    return Input(shape, port.element_type.to_dtype().name)
