"""The GPU of this machine: NVIDIA's by torch and ONNX Runtime, Intel's by OpenVINO."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal, final

from pipeline.core import Progress
from pipeline.errors import UserError
from pipeline.progress import silent
from targets._alone import alone
from targets._device import Judges, Say
from targets._sampling import Measured, MeasureSet, Plan, sample
from targets.runtimes.gpu._ask import Answer
from targets.runtimes.gpu._base import GpuRuntime, has_library, names
from targets.runtimes.gpu.torch_aoti import PACKAGES
from targets.transport.local import ROOT, Local, environment, why

BATCHES = tuple(2**power for power in range(13))
"""Of the curve of throughput: 1 to 4096, as far as memory and time allow."""
ELSEWHERE = {
    "litert": "LiteRT computes on the CPU here: what it does is measured by --target cpu",
    "standalone": "a C file computes on the CPU: what it does is measured by --target cpu",
}
"""Runtimes of formats that a recipe has and no GPU runs."""
ASK_SECONDS = 300


@final
@dataclass(frozen=True)
class Gpu:
    """Judges and measures here, in fresh processes, in every precision of every runtime that finds a GPU.

    The packages are those that are found: a machine with a GPU has a torch of its own, and the report says which.
    """

    device: str = ""
    """The number of an NVIDIA GPU, counted from 0 as CUDA does; left out, the first one, and Intel's."""

    provenance: ClassVar[Literal["measured"]] = "measured"
    judges: ClassVar[Judges] = Judges()
    optional: ClassVar[bool] = True

    def usable(self) -> str | None:
        """Why there is no GPU; None where a driver of one is here."""
        drivers = dict.fromkeys(runtime.driver for runtime in names().values())
        if any(has_library(library) for library, _ in drivers):
            return None
        return f"no GPU is here: neither {' nor '.join(what for _, what in drivers)} is installed"

    @contextlib.contextmanager
    def reach(self, say: Say) -> Iterator[Here]:
        """Asks the libraries what they see. UserError for a number that no GPU has."""
        if self.device and not self.device.isdecimal():
            raise UserError(f"--device {self.device}: a GPU is chosen by its number, 0, 1, ... (`nvidia-smi -L` lists them)")
        if reason := self.usable():
            yield Here(dict.fromkeys([*names(), *ELSEWHERE], reason))
            return
        say("asking the GPU's libraries")
        with tempfile.TemporaryDirectory(prefix="edgepress-gpu-") as folder:
            variables = self._variables(folder)
            answer = _ask(variables)
            yield Here({**self._chosen(answer.refusals), **ELSEWHERE}, answer.words, variables)

    def _variables(self, folder: str) -> dict[str, str]:
        """One GPU is visible; compilers keep what they made in a folder that goes with the run, and no library uses TF32."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        number = int(self.device or 0)
        listed = visible.split(",") if visible else []
        if listed and number >= len(listed):
            raise UserError(f"--device {number}: CUDA_VISIBLE_DEVICES={visible} shows {len(listed)}, counted from 0")
        return {
            "CUDA_VISIBLE_DEVICES": listed[number] if listed else str(number),
            "CUDA_DEVICE_ORDER": os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
            "NVIDIA_TF32_OVERRIDE": "0",
            "TORCHINDUCTOR_CACHE_DIR": folder,
            PACKAGES: folder,
            "TORCHINDUCTOR_COMPILE_THREADS": "1",  # or importing the compiler would begin a pool, before the runner forks
        }

    def _chosen(self, refusals: Mapping[str, str | None]) -> dict[str, str | None]:
        """Without those that would not run on the GPU that was asked for."""
        if not self.device:
            return dict(refusals)
        found = names()
        if all(refusals[name] for name, runtime in found.items() if _counted(runtime)):
            reasons = {refusals[name] for name, runtime in found.items() if runtime.format == "torch"}
            raise UserError(f"--device {self.device}: {'; '.join(sorted(filter(None, reasons)))} (`nvidia-smi -L` lists them)")
        return {
            name: refusals[name] if _counted(runtime) else f"--device {self.device} is the number of an NVIDIA GPU"
            for name, runtime in found.items()
        }


@dataclass(frozen=True)
class Here:
    """What was found of a GPU, or that there is none."""

    refusals: Mapping[str, str | None]
    words: list[str] = field(default_factory=list)
    variables: Mapping[str, str] = field(default_factory=dict)

    def runtimes(self) -> dict[str, str | None]:
        """Each runtime, with the reason why it cannot be used here."""
        return dict(self.refusals)

    def measure(self, sets: list[MeasureSet], lock: Path, plan: Plan, progress: Progress = silent) -> Measured:
        """Quality, latency, memory and throughput of all candidates; the only run that measures on this host meanwhile."""
        wanted = replace(plan, sampling=replace(plan.sampling, batches=BATCHES))
        with alone(lock, progress):
            measured = sample(Local(self.variables), sets, wanted, progress)
        for results in measured.raw.values():
            for result in results:
                result["environment"]["accelerator"] = self.words
        return measured


def _counted(runtime: GpuRuntime) -> bool:
    """Whether CUDA's numbers choose its GPU."""
    return runtime.device == "cuda"


def _ask(variables: Mapping[str, str]) -> Answer:
    command = [sys.executable, "-m", "targets.runtimes.gpu._ask"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment(1, variables), capture_output=True, text=True, check=False, timeout=ASK_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"the GPU's libraries gave no answer within {ASK_SECONDS} s") from None
    if done.returncode:
        raise UserError(f"the GPU's libraries could not be asked: {why(done.returncode, done.stderr, ASK_SECONDS)}")
    return Answer(**json.loads(done.stdout.splitlines()[-1]))
