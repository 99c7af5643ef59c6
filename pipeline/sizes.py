"""The bytes of an artifact: what the runtime loads, and what travels."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path

from pipeline.files import file_sha256
from targets.runtimes._adapter import is_adapter


def file_bytes(files: list[Path]) -> int:
    """Bytes of the files that the runtime loads, all graphs together; files of equal content (torch's) count once."""
    return sum({file_sha256(path): path.stat().st_size for path in files}.values())


def adapter_bytes(files: list[Path]) -> int | None:
    """Of these the adapters, which alone are needed for one more domain; None where the weights are all in one."""
    adapters = [path for path in files if is_adapter(path)]
    return file_bytes(adapters) if adapters else None


def bundle_bytes(files: list[Path]) -> int:
    """Bytes of the files as they travel: those that have a coded file beside them as that, the others as one .tar.xz.

    Owner and times are left out of the archive, so it is reproducible.
    """
    coded = {path: coded_path(path).stat().st_size for path in files if coded_path(path).exists()}
    plain = [path for path in files if path not in coded]
    return sum(coded.values()) + (_archive_bytes(plain) if plain else 0)


def coded_path(path: Path) -> Path:
    """Where a file's coded form lies, if it has one (pipeline/coded_file.py)."""
    return path.with_name(f"{path.name}.coded")


def _archive_bytes(files: list[Path]) -> int:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in files:
            info = tarfile.TarInfo(path.name)
            info.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(info, file)
    return len(lzma.compress(packed.getvalue(), preset=6))
