"""What every kind of step needs: its tools, and the data set that its task names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core import Dataset, Json, Progress, Spec


@dataclass(frozen=True)
class Tools:
    """What the surroundings give a step."""

    scratch: Path
    """For checkpoints; survives a kill."""
    progress: Progress
    threads: int


@dataclass(frozen=True)
class Input:
    """A finished step that this one needs: the folder of its verified files, their hashes, and its facts."""

    folder: Path
    sha256: dict[str, str]
    facts: Json


def dataset(task: Json) -> Dataset:
    """The data set of a task."""
    described = task["data"]
    loaded: Dataset = Spec("data", described["name"], described["options"]).build().load(Path(described["root"]))
    return loaded


def spec(described: Json) -> Spec:
    """A spec from its JSON form."""
    return Spec(described["kind"], described["name"], described["options"])
