"""ONNX Runtime on the CPU: one .onnx file (external data beside it is found by its name)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from targets.runtimes._adapter import beside
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
from targets.runtimes._kernels import OPERATORS, library


@final
@dataclass(frozen=True)
class OnnxRuntime:
    """`threads` is the intra-operator pool; operators run one after the other, as on the devices that we ship to."""

    format: ClassVar[str] = "onnx"
    precision: ClassVar[str] = "fp32"
    packages: ClassVar[Mapping[str, str]] = {"onnxruntime": "onnxruntime"}

    def modules(self) -> tuple[str, ...]:
        """What `load` imports."""
        return ("onnxruntime",)

    def missing(self) -> str | None:
        """Why it cannot be used here."""
        return why_missing(self.packages)

    def version(self) -> str:
        """The version of the package."""
        return installed_version(self.packages)

    def load(self, files: list[Path], threads: int) -> Predictor:
        """A session on the CPU provider with all of the runtime's graph optimizations."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3  # errors only: warnings go to the stderr of whoever measures
        try:
            register(options, files[0].read_bytes(), files)
        except Unsupported as error:
            raise Unsupported(f"{files[0].name}: {error}") from error
        try:
            session = onnxruntime.InferenceSession(str(files[0]), options, providers=["CPUExecutionProvider"])
        except errors() as error:
            raise ValueError(f"{files[0].name}: {one_line(error)}") from error
        loaded = Session(files[0].name, session)
        loaded.adapt(beside(files))
        return loaded


def register(options: Any, model: bytes, files: list[Path] | None = None) -> None:
    """Has a session find our operators where the model asks for them. Unsupported where they are not to be had."""
    if OPERATORS in model:
        options.register_custom_ops_library(library(files or []))


class Session:
    """`session` is open to all: the benchmark runs it bare, beside the predictor."""

    def __init__(self, file: str, session: Any) -> None:
        self.file = file
        self.session = session
        self.expected = {spec.name: _input(spec) for spec in session.get_inputs()}
        self.batch = fixed_batch(self.expected)
        self._outputs = [output.name for output in session.get_outputs()]
        self._run = session.run
        self._options: Any = None
        self._adapter: Any = None
        self._errors = errors()

    def adapt(self, path: Path | None) -> None:
        """Takes another adapter, or none, without loading the base again. ValueError for a file that is none of this base."""
        import onnxruntime

        if path is None:
            self._options = self._adapter = None
            return
        options, adapter = onnxruntime.RunOptions(), onnxruntime.LoraAdapter()
        try:
            adapter.Load(str(path))
            found = onnxruntime.AdapterFormat.read_adapter(str(path)).get_parameters()
        except self._errors as error:
            raise ValueError(f"{path.name}: {one_line(error)}") from error
        known = {spec.name for spec in self.session.get_overridable_initializers()}
        if strange := sorted(known ^ found.keys()):
            raise ValueError(f"{path.name}: is no adapter of {self.file}: {strange[0]!r} is in only one of the two")
        options.add_active_adapter(adapter)
        self._options, self._adapter = options, adapter  # together: options do not keep their adapter alive

    def __call__(self, inputs: Arrays) -> Arrays:
        """Named arrays in, named arrays out."""
        try:
            values = self._run(self._outputs, inputs, self._options)
            if len(values) == 1:  # half a microsecond less than below, which shows in the smallest nets
                return {self._outputs[0]: values[0]}
            return dict(zip(self._outputs, values, strict=True))
        except self._errors as error:
            refuse(self.file, self.expected, inputs, error)


def _input(spec: Any) -> Input:
    """From "tensor(float)" and a shape in which an open size is a name or None."""
    kind = spec.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) else None for size in spec.shape)
    return Input(shape, {"float": "float32", "double": "float64"}.get(kind, kind))


def errors() -> tuple[type[Exception], ...]:
    """ONNX Runtime's exception classes, which share no base, and what its Python layer raises itself."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (*own, ValueError, RuntimeError, TypeError)
