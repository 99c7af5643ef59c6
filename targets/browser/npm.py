"""The runtimes that a browser loads: out of their npm packages, each pinned by its sha256, only the files that are needed.

Of 250 MB that the packages unpack to, 33 are kept.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from models.data._download import Download
from pipeline.core import Progress
from pipeline.fetch import bring
from pipeline.files import write_atomic


@dataclass(frozen=True)
class Package:
    """A package, as `pack` names its archive, and the files of it that are served under their own names."""

    version: str
    download: Download
    files: tuple[str, ...]


def _archive(scope: str, name: str, version: str, sha256: str, size: int) -> Download:
    url = f"https://registry.npmjs.org/{scope}{name}/-/{name}-{version}.tgz"
    return Download(url, f"{scope.strip('@/')}{'-' if scope else ''}{name}-{version}.tgz", sha256, size)


PACKAGES = {
    "onnxruntime-web": Package(
        "1.30.0",
        _archive("", "onnxruntime-web", "1.30.0", "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71", 33106585),
        ("dist/ort.wasm.min.mjs", "dist/ort-wasm-simd-threaded.mjs", "dist/ort-wasm-simd-threaded.wasm"),
    ),
    "@litertjs/core": Package(
        "2.5.3",
        _archive("@litertjs/", "core", "2.5.3", "a97660833e9e7e1063c95e12016718881240b14f7438728a2f62785e912d30fd", 11817097),
        (
            "dist/index.js",
            *(f"wasm/litert_wasm_{kind}internal.{end}" for kind in ("", "compat_") for end in ("js", "wasm")),
        ),
    ),
    "@litertjs/wasm-utils": Package(
        "2.5.3",
        _archive("@litertjs/", "wasm-utils", "2.5.3", "ce2a1f8379c067be49e59752e5a7f40db6be09f6e497f0f11e59f17b515366a7", 4698),
        ("dist/index.js",),
    ),
    "@noble/hashes": Package(
        "2.4.0",
        _archive("@noble/", "hashes", "2.4.0", "e1946149b780017b2564fcc092cb01c04e1d7f20627d0296c17da8868f4436dc", 167626),
        ("sha2.js", "_md.js", "_u64.js", "utils.js"),
    ),
}
"""sha256 in the browser is from noble: the browser's own is missing where a page came over plain http."""
BARE = (b'"@litertjs/wasm-utils"', b'"/npm/@litertjs/wasm-utils/dist/index.js"')
"""A worker has no import map, so the one bare name in what we serve becomes an address."""


def prepare(place: Path, progress: Progress) -> Path:
    """The folder of the unpacked files, `<package>/<file>`, fetched if it is not there. UserError as `pipeline.fetch`."""
    wanted = repr(PACKAGES) + repr(BARE)
    folder = place / f"unpacked-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    bring([package.download for package in PACKAGES.values()], place / "files", progress)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=".unpacking-") as scratch:
        whole = Path(scratch) / "whole"
        for name, package in PACKAGES.items():
            _unpack(place / "files" / package.download.file, package.files, whole / name)
        try:
            whole.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another run was faster
                raise
    shutil.rmtree(place / "files")
    return folder


def _unpack(archive: Path, files: tuple[str, ...], target: Path) -> None:
    with tarfile.open(archive) as tar:
        for name in files:
            member = tar.extractfile(f"package/{name}")
            if member is None:
                raise ValueError(f"{archive.name}: package/{name} is no file")
            write_atomic(target / name, member.read().replace(*BARE))
