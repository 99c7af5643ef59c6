"""ONNX Runtime's CUDA provider."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

from targets.runtimes.gpu._onnxruntime import OnnxRuntimeOnGpu


@final
@dataclass(frozen=True)
class OnnxRuntimeCuda(OnnxRuntimeOnGpu):
    """Float files in float32 with TF32 off. It has no int8 kernels: int8 files compute in float32 between their scales."""

    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    provider: ClassVar[str] = "CUDAExecutionProvider"

    def options(self, file: Path) -> dict[str, str]:
        """The provider's."""
        return {"use_tf32": "0"}
