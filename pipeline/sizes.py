"""The bytes of an artifact: what the runtime loads, and what travels."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path

from pipeline.files import file_sha256


def file_bytes(files: list[Path]) -> int:
    """Bytes of the files that the runtime loads, all graphs together; files of equal content (torch's) count once."""
    return sum({file_sha256(path): path.stat().st_size for path in files}.values())


def bundle_bytes(files: list[Path]) -> int:
    """Bytes of the files as one .tar.xz, which is how they travel; owner and times are left out, so it is reproducible."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in files:
            info = tarfile.TarInfo(path.name)
            info.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(info, file)
    return len(lzma.compress(packed.getvalue(), preset=6))
