"""Memory of a GPU, asked in one way of every runtime.

torch.cuda.max_memory_allocated would see neither the weights of an AOTInductor package nor anything of another runtime.
"""

from __future__ import annotations

from typing import final


@final
class Growth:
    """What more of the GPU's memory is in use than when this was made: weights, activations and what the libraries set aside.

    The runtimes give nothing back while a file is loaded, so this is their peak, in blocks of 2 MiB. The driver's context
    is not counted; what other processes take meanwhile is.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._before = self._used()

    def bytes(self) -> int | None:
        """None on a device that does not say, or when others gave back more than was taken."""
        grown = self._used() - self._before
        return grown if grown > 0 else None

    def _used(self) -> int:
        if self._device != "cuda":
            return 0
        import torch

        torch.cuda.synchronize()  # the first call makes the context
        free, total = torch.cuda.mem_get_info()
        return total - free
