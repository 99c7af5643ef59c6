"""What the libraries of a GPU say of themselves: `python -m targets.runtimes.gpu._ask` prints it as one line of JSON.

A process of its own: it begins CUDA, which the processes that measure may do only after they have forked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from targets.runtimes._base import one_line
from targets.runtimes.gpu._base import NVIDIA, GpuRuntime, names


@dataclass(frozen=True)
class Answer:
    """What came of the asking."""

    refusals: dict[str, str | None]
    """Each runtime, with the reason why it cannot be used."""
    words: list[str]
    """What the GPU is, and how it is measured."""


def ask() -> Answer:
    """Asks every runtime whose files are here."""
    found = names()
    refusals = {name: runtime.missing() or _refusal(runtime) for name, runtime in found.items()}
    nvidia = any(refusals[name] is None and runtime.driver == NVIDIA for name, runtime in found.items())
    return Answer(refusals, _words() if nvidia else [])


def _refusal(runtime: GpuRuntime) -> str | None:
    try:
        return runtime.refusal()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:  # a library of other years, or half installed
        return one_line(error)


def _words() -> list[str]:
    import torch

    gpu = torch.cuda.get_device_properties(0)
    return [
        f"{gpu.name} with {gpu.total_memory / 2**30:.0f} GiB, compute capability {gpu.major}.{gpu.minor}",
        f"torch for CUDA {torch.version.cuda}",
        f"timed by the GPU's events, its L2 of {gpu.L2_cache_size / 2**20:.0f} MiB flushed before each call, TF32 off",
    ]


if __name__ == "__main__":
    print(json.dumps(vars(ask())))
