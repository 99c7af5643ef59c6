"""PyTorch, torch.compile, on a GPU: Inductor's fused kernels, its default mode (no CUDA graphs, no autotuning)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from targets.runtimes.gpu._torch import Run, TorchRuntime

if TYPE_CHECKING:
    import torch


@final
@dataclass(frozen=True)
class TorchCompile(TorchRuntime):
    """Compiled for batch 1 as it is loaded, and again at the first call of another batch size, which is then left open."""

    compiler: ClassVar[tuple[str, ...]] = ("torch._dynamo", "torch._inductor.compile_fx")

    def prepared(self, module: torch.nn.Module, example: tuple[torch.Tensor, ...], key: str) -> tuple[Run, int | None]:
        """The module behind Inductor."""
        import torch
        from torch._inductor import config

        config.compile_threads = 1  # no pool of processes, which would outlive the child that asked for it
        run = torch.compile(module)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, of its own insides
            with torch.inference_mode():  # as it will be called: a graph compiled outside would be compiled again
                run(*example)
        return run, None
