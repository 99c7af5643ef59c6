"""PyTorch on a GPU: the model as the pipeline stores it, in one of four precisions; how it is run is each file's own.

fp32 is float32 all through: TF32, which rounds the factors of products to 10 bits, is off. fp16 and bf16 are the weights and
all arithmetic in that type (no autocast); inputs and outputs are float32 outside. int8: `_int8`.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from targets.device.job import file_sha256
from targets.runtimes._base import Arrays, Input, Predictor, Staged, Unsupported, mismatch, one_line, refuse
from targets.runtimes.gpu._base import GpuRuntime
from targets.runtimes.gpu._memory import Growth
from targets.runtimes.torch_ import deployed

if TYPE_CHECKING:
    import torch

    from pipeline.core import Graph

Run = Callable[..., Any]
REFUSALS = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError, ArithmeticError)
"""What torch and a model's own code raise where a type or a shape does not fit; torch's compilers' errors are RuntimeErrors."""


@dataclass(frozen=True)
class TorchRuntime(GpuRuntime):
    """One of the model's deployed graphs, without gradients; timed without the copies, by the device's own clock."""

    format: ClassVar[str] = "torch"
    packages: ClassVar[Mapping[str, str]] = {"torch": "torch"}
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "fp16", "bf16", "int8")
    compiler: ClassVar[tuple[str, ...]] = ()
    """What `prepared` imports, some seconds of it: they are no part of a load."""

    @abstractmethod
    def prepared(self, module: torch.nn.Module, example: tuple[torch.Tensor, ...], key: str) -> tuple[Run, int | None]:
        """What runs instead of the module, and the one batch size that it takes (None: any).

        `example` has batch 1; `key` is a hash of the files and the precision.
        """

    def modules(self) -> tuple[str, ...]:
        """What `load` imports."""
        return ("torch", "safetensors.torch", "pydantic", "pipeline.model_file", "pipeline.options", *self.compiler)

    def refusal(self) -> str | None:
        """Why torch sees no GPU."""
        import torch

        if torch.version.cuda is None:
            return f"torch {torch.__version__} is built without CUDA; `pip install torch` of a CUDA build would make it usable"
        return None if torch.cuda.is_available() else f"torch {torch.__version__} (CUDA {torch.version.cuda}) sees no GPU"

    def load(self, files: list[Path], threads: int) -> Predictor:
        """The module on the device, prepared and run once: compiling is part of the load."""
        import torch

        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        graph, file, memory = deployed(files), files[0].name, Growth(self.device)
        try:
            with torch.inference_mode(False), torch.no_grad():
                module = self._lowered(graph.module.eval().to(self.device))
                example = tuple(
                    self._tensor(np.zeros((1, *spec.shape[1:]) if spec.shape else (), spec.dtype))
                    for spec in graph.inputs.values()
                )
                module(*example)
                run, batch = self.prepared(module, example, self._key(files))
                run(*example)
        except Unsupported as error:
            raise Unsupported(f"{file}: {error}") from error
        except REFUSALS as error:
            kind = ValueError if self.precision == "fp32" else Unsupported
            raise kind(f"{file}: does not run in {self.precision}: {one_line(error)[:300]}") from error
        del module
        if self.device == "cuda":
            torch.cuda.empty_cache()  # what only the load needed is not what the file holds
        return OnDevice(file, graph, run, batch, self._tensor, self.device, memory)

    def _lowered(self, module: torch.nn.Module) -> torch.nn.Module:
        import torch

        from targets.runtimes.gpu._int8 import Int8Linear, lower

        if self.precision == "int8":
            if type(module) is torch.nn.Linear:
                return Int8Linear(module)
            if not lower(module):
                raise Unsupported("int8 is for linear layers here, and the model has none")
            return module
        return module.to(self._type)

    def _key(self, files: list[Path]) -> str:
        contents = [file_sha256(path) for path in files]
        return hashlib.sha256(" ".join([*contents, files[0].parent.name, self.precision, self.device]).encode()).hexdigest()

    @property
    def _type(self) -> torch.dtype:
        import torch

        return {"fp16": torch.float16, "bf16": torch.bfloat16}.get(self.precision, torch.float32)

    def _tensor(self, array: Any) -> torch.Tensor:
        """On the device, a float array in the precision that is computed in."""
        import torch

        # from_numpy shares memory, and warns where that could write to an array that is read-only.
        tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
        return tensor.to(self.device, self._type if tensor.is_floating_point() else tensor.dtype)


class OnDevice(Staged):
    """A prepared module and its inputs' way to the device."""

    def __init__(
        self,
        file: str,
        graph: Graph,
        run: Run,
        batch: int | None,
        tensor: Callable[[Any], torch.Tensor],
        device: str,
        memory: Growth,
    ) -> None:
        self.file, self._run, self._batch = file, run, batch
        self._tensor, self._device, self._memory = tensor, device, memory
        self.expected = {
            name: Input((batch, *spec.shape[1:]) if spec.shape else (), spec.dtype) for name, spec in graph.inputs.items()
        }
        self._outputs = graph.outputs

    @property
    def batch(self) -> int | None:
        """See Staged."""
        return self._batch

    def __call__(self, inputs: Arrays) -> Arrays:
        """See Staged."""
        import torch

        tensors = self._there(inputs)
        with torch.inference_mode():
            found = self._run(*tensors)
            outputs = [each.cpu() for each in (found if isinstance(found, (tuple, list)) else (found,))]
            shown = [each.float() if each.is_floating_point() else each for each in outputs]  # numpy knows no bfloat16
        return {name: output.numpy() for name, output in zip(self._outputs, shown, strict=True)}

    def stage(self, inputs: Arrays) -> Callable[[], int]:
        """See Staged. The clock's buffer is made here, so that a cold call's memory does not hold it."""
        import torch

        from targets.runtimes.gpu._clock import clock_of

        tensors, clock = self._there(inputs), clock_of(self._device)
        clock.settle()

        def once() -> int:
            with torch.inference_mode():
                return clock.time(lambda: self._run(*tensors))

        return once

    def peak_bytes(self) -> int | None:
        """See Growth."""
        return self._memory.bytes()

    def _there(self, inputs: Arrays) -> tuple[torch.Tensor, ...]:
        if mismatch(self.expected, inputs):
            refuse(self.file, self.expected, inputs)
        return tuple(self._tensor(inputs[name]) for name in self.expected)
