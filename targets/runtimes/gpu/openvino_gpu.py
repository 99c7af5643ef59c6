"""OpenVINO's GPU plugin: Intel's GPUs, by OpenCL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

from targets.runtimes._adapter import refuse_beside
from targets.runtimes._base import Predictor, Unsupported, one_line
from targets.runtimes._openvino import library
from targets.runtimes.gpu._base import INTEL, GpuRuntime
from targets.runtimes.openvino_ import Request, binary


@final
@dataclass(frozen=True)
class OpenVinoGpu(GpuRuntime):
    """Timed by the host's clock around a whole call: most of these GPUs share the host's memory. Says nothing of its memory."""

    format: ClassVar[str] = "openvino"
    packages: ClassVar[Mapping[str, str]] = {"openvino": "openvino"}
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "fp16")
    driver: ClassVar[tuple[str, str]] = INTEL

    device: str = "GPU"
    """A device of OpenVINO's."""

    def modules(self) -> tuple[str, ...]:
        """What `load` imports."""
        return ("openvino",)

    def refusal(self) -> str | None:
        """Why OpenVINO sees no GPU."""
        openvino = library()
        if any(name.startswith(self.device) for name in openvino.Core().available_devices):
            return None
        return f"openvino {openvino.__version__} sees no GPU: its plugin is for Intel's, and needs their OpenCL driver"

    def load(self, files: list[Path], threads: int) -> Predictor:
        """A model compiled for the GPU; compiling is part of the load."""
        refuse_beside(files)
        core = library().Core()
        # Left to itself the plugin computes float32 files in float16.
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f16" if self.precision == "fp16" else "f32"}
        try:
            model = core.read_model(*map(str, files))
            if binary(model):
                raise Unsupported(
                    f"{files[0].name}: OpenVINO's BinaryConvolution is known to be right on x86 CPUs only, not on GPUs"
                )
            compiled = core.compile_model(model, self.device, settings)
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"{files[0].name}: {one_line(error)}") from error
        return Request(files[0].name, compiled)
