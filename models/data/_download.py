"""The public files of a data set: where they come from, what they must be, where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError


@dataclass(frozen=True)
class Download:
    """One public file. Its size (bytes) and sha256 are declared, so that no server needs to be trusted."""

    url: str
    file: str
    sha256: str
    bytes: int


def folder(root: Path, name: str) -> Path:
    """Where the files of a data set lie: `<data root>/<name>/files` (a user's own `my_set.py` has the name `my_set`)."""
    return root / Path(name).stem / "files"


def present(root: Path, name: str, downloads: Sequence[Download]) -> list[Path]:
    """The paths of the files, in order; a UserError that says how to get them when one is missing."""
    paths = [folder(root, name) / download.file for download in downloads]
    for path in paths:
        if not path.is_file():
            raise UserError(
                f"{path} is missing; get it with `./edgepress data fetch {name}`, "
                f"or set EDGEPRESS_DATA to a folder that holds {name}/files/{path.name}"
            )
    return paths
