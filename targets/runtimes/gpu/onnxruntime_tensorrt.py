"""ONNX Runtime's TensorRT provider: an engine is built as the file is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

from targets.runtimes.gpu._onnxruntime import OnnxRuntimeOnGpu


@final
@dataclass(frozen=True)
class OnnxRuntimeTensorRt(OnnxRuntimeOnGpu):
    """The whole graph or nothing: what TensorRT cannot take makes the cell unsupported, not a mixture.

    fp32 is without TF32 (the target sets NVIDIA_TF32_OVERRIDE=0); fp16 lets TensorRT choose it layer by layer. An int8 file says
    by its own nodes what is int8.
    """

    precisions: ClassVar[tuple[str, ...]] = ("fp32", "fp16")
    provider: ClassVar[str] = "TensorrtExecutionProvider"

    def options(self, file: Path) -> dict[str, str]:
        """The provider's. Operators stand in a file by their names; int8 without any scales in it would ask for a table."""
        int8 = b"DequantizeLinear" in file.read_bytes()
        return {"trt_fp16_enable": str(self.precision == "fp16"), "trt_int8_enable": str(int8)}
