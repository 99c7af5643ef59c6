"""What a target is: where candidates are measured, and how it is reached. A file of this folder each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pipeline.core import Progress
from targets._sampling import Measured, MeasureSet, Plan

Say = Callable[[str], None]


class Reached(Protocol):
    """A target that answers."""

    def runtimes(self) -> dict[str, str | None]:
        """Each runtime, with the reason why it cannot be used there (None when it can)."""

    def measure(self, sets: list[MeasureSet], lock: Path, plan: Plan, progress: Progress) -> Measured:
        """Latency, memory and, where the target judges, evidence of all candidates."""


class Target(Protocol):
    """A file of targets/: its fields are its options."""

    @property
    def provenance(self) -> Literal["measured", "emulated"]:
        """How its figures are had."""

    @property
    def judges(self) -> Judges | None:
        """How accuracy is had there; None where this host judges the files itself, before anything is measured."""

    @property
    def optional(self) -> bool:
        """Whether a run without it writes a report, each cell unsupported for the reason that `usable` gives."""

    def usable(self) -> str | None:
        """Why this target cannot be used; None when it can. Quick: nothing is reached."""

    def reach(self, say: Say) -> AbstractContextManager[Reached]:
        """Reaches it, and lets go of it in the end. UserError for what a person must mend."""


@dataclass(frozen=True)
class Judges:
    """A target that judges the files itself."""

    samples: int | None = None
    """Of the test split, the first so many; None takes all."""
    calls: int | None = None
    """And no more than take so many calls of its graphs: a step of a decoder is one, so a text takes hundreds."""
