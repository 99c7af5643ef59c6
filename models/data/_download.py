"""The public files of a data set: where they come from, what they must be, where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError

FILES = "files"
"""The folder in which a data set's files lie, unless its `folder` names another."""


@dataclass(frozen=True)
class Download:
    """One public file. Its size (bytes) and sha256 are declared, so that no server needs to be trusted."""

    url: str
    file: str
    sha256: str
    bytes: int


def folder(root: Path, name: str, inner: str = FILES) -> Path:
    """Where the files of a data set lie: `<data root>/<name>/<inner>` (a user's own `my_set.py` has the name `my_set`)."""
    return root / Path(name).stem / inner


def present(root: Path, name: str, downloads: Sequence[Download]) -> list[Path]:
    """The paths of the files, in order; a UserError that says how to get them when one is missing."""
    paths = [folder(root, name) / download.file for download in downloads]
    for path in paths:
        if not path.is_file():
            raise missing(path, name)
    return paths


def missing(path: Path, name: str, inner: str = FILES) -> UserError:
    """The error for a file (or files, as a pattern) that is not there: how to get it."""
    return UserError(
        f"{path} is missing; get it with `./edgepress data fetch {name}`, "
        f"or set EDGEPRESS_DATA to a folder that holds {name}/{inner}/{path.name}"
    )


class Listed:
    """The downloads of a data set of many files, from a text file beside its source: `sha256 bytes name` in each line.

    A descriptor, so that nothing is read before somebody asks: `downloads: ClassVar[Listed] = Listed(path, base)`.
    """

    def __init__(self, path: Path, base: str) -> None:
        self.path, self.base = path, base

    def __get__(self, instance: object, owner: type) -> tuple[Download, ...]:
        """A tuple, as other sources have one."""
        lines = (line.split() for line in self.path.read_text().splitlines())
        return tuple(Download(f"{self.base}/{name}", name, sha256, int(size)) for sha256, size, name in lines)
