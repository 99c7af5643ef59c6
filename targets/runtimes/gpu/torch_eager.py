"""PyTorch, eager, on a GPU: what everybody begins with, a kernel an operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from targets.runtimes.gpu._torch import Run, TorchRuntime

if TYPE_CHECKING:
    import torch


@final
@dataclass(frozen=True)
class TorchEager(TorchRuntime):
    """Nothing is compiled."""

    def prepared(self, module: torch.nn.Module, example: tuple[torch.Tensor, ...], key: str) -> tuple[Run, int | None]:
        """The module itself."""
        return module, None
