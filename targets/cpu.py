"""The CPU of this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, final

from pipeline.core import Progress
from pipeline.progress import silent
from pipeline.registry import find, names
from targets._alone import alone
from targets._device import Say
from targets._sampling import Measured, MeasureSet, Plan, sample
from targets.transport.local import Local


@final
@dataclass(frozen=True)
class Cpu:
    """Measures here, in fresh processes. Figures hold for this host while nothing else runs on it."""

    provenance: ClassVar[Literal["measured"]] = "measured"
    judges: ClassVar[None] = None
    optional: ClassVar[bool] = False

    def usable(self) -> str | None:
        """Why this target cannot be used; None when it can."""
        return None if hasattr(os, "fork") else "needs Linux or macOS: candidates are isolated by fork"

    @contextlib.contextmanager
    def reach(self, say: Say) -> Iterator[Cpu]:
        """It is here."""
        yield self

    def runtimes(self) -> dict[str, str | None]:
        """Each runtime, with the reason why it cannot be used here (None when it can)."""
        return {name: find("runtime", name)().missing() for name in names("runtime")}

    def measure(self, sets: list[MeasureSet], lock: Path, plan: Plan | None = None, progress: Progress = silent) -> Measured:
        """Latency and memory of all candidates. Holds `lock`, so that two runs on this host do not measure at once."""
        with alone(lock, progress):
            return sample(Local(), sets, plan or Plan(), progress)
