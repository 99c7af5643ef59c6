"""A device that answers and is set up: what its runtimes can do, and measuring there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.core import Progress
from pipeline.progress import silent
from pipeline.registry import find, names
from targets._provision import Device, wanted
from targets._sampling import Measured, MeasureSet, Plan, Transport, sample
from targets.device.job import Sampling

ELSEWHERE = {
    "torch": "torch is not put on a device: what it says is measured by --target cpu",
    "standalone": "no compiler is put on a device: what a C file takes is measured by --target cpu",
}
ONCE = Sampling(warmup=1, rounds=1, calls=2, steady_calls=1, energy_seconds=0)
"""For an emulator, whose times mean nothing: enough to see that a file runs."""


@dataclass(frozen=True)
class Board:
    """A board or a phone."""

    transport: Transport
    device: Device
    timed: bool = True
    benchmark_model: Path | None = None

    def runtimes(self) -> dict[str, str | None]:
        """Each runtime, with the reason why it cannot be used there."""
        return {name: self._missing(name) for name in names("runtime")}

    def measure(self, sets: list[MeasureSet], lock: Path, plan: Plan, progress: Progress = silent) -> Measured:
        """Judges and measures all candidates there; the device's keeper lets nobody else measure meanwhile."""
        if not self.timed:
            plan = replace(plan, processes=1, sampling=ONCE)
        machine = self.device.machine if self.device.bits == 64 else "armv7l"
        plan = replace(plan, benchmark_model=self.benchmark_model, machine=machine)
        return sample(self.transport, sets, plan, progress)

    def _missing(self, name: str) -> str | None:
        packages, have = find("runtime", name).packages, wanted(self.device)
        if not have.keys().isdisjoint(packages):
            return None
        return ELSEWHERE.get(name) or f"there is no {next(iter(packages))} for {self.device}"
