"""Gets the public files of a data set, once, and only the right ones.

Every file is checked against its declared size and sha256 before it takes its name, so neither a server nor a line needs to
be trusted. What was interrupted goes on where it stopped. `EDGEPRESS_MIRROR` names another base URL that has the
layout of a data root, `<mirror>/<data set>/<folder>/<file>` (the folder is `files` unless the data set names another):
`python -m http.server` in a data root is a mirror.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from models.data._download import FILES, Download, folder
from pipeline import registry
from pipeline.core import Progress
from pipeline.errors import UserError

if TYPE_CHECKING:
    import requests

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and seconds of silence while reading."""
CHUNK = 1 << 16
"""Bytes read at a time."""
MOST_NAMED = 8
"""Files that a line names; of more it gives the number."""


def fetch(name: str, root: Path, progress: Progress) -> list[Path]:
    """Gets what is missing of a data set into its folder below `root/<name>`; progress is in bytes.

    Returns all its files; none, after saying so, when it comes with an installed package. A UserError in one line for no
    network, wrong content or a full disk: no wrong file is left behind, and a partial one is continued next time.
    """
    source = registry.find("data", name)
    if parts := getattr(source, "made_of", ()):  # it has no files of its own
        return [file for part in parts for file in fetch(part, root, progress)]
    # A user's own data set need not say where it can be had.
    downloads: tuple[Download, ...] = getattr(source, "downloads", ())
    if not downloads:
        progress(1, 1, f"{name}: nothing to fetch, its files are here already")
        return []
    place = folder(root, name, getattr(source, "folder", FILES))
    bring(downloads, place, progress)
    total = sum(download.bytes for download in downloads)
    progress(total, total, f"{name}: {len(downloads)} files in {place}")
    return [place / download.file for download in downloads]


def bring(downloads: Sequence[Download], place: Path, progress: Progress) -> None:
    """Gets those of some files that are missing in a folder; errors as `fetch`."""
    total = sum(download.bytes for download in downloads)
    try:
        missing = [download for download in downloads if not _right(place / download.file, download)]
        if missing:
            _bring_missing(place, missing, total, progress)
    except OSError as error:
        raise _storage_error(place, error, total) from error


def _bring_missing(place: Path, missing: list[Download], total: int, progress: Progress) -> None:
    import requests
    import urllib3

    mirror = os.environ.get("EDGEPRESS_MIRROR")
    done = total - sum(download.bytes for download in missing)
    with _locked(place), requests.Session() as session:
        for download in missing:
            url = f"{mirror.rstrip('/')}/{place.parent.name}/{place.name}/{download.file}" if mirror else download.url
            part = place / f"{download.file}.part"
            try:
                for size in _receive(session, url, download, part):
                    progress(done + size, total, download.file)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                raise _network_error(url, error, place, missing) from error
            _accept(url, download, part, place / download.file)
            done += download.bytes


def _receive(session: requests.Session, url: str, download: Download, part: Path) -> Iterator[int]:
    """Brings `part` to the declared size and never beyond, from where an earlier run left it; yields its bytes so far."""
    have = part.stat().st_size if part.exists() else 0
    if have == download.bytes:
        return
    # No encoding: compressing what is compressed gains nothing, and changes the bytes that a range counts.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if 0 < have < download.bytes else {})
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416 and "Range" in headers:  # what the server has ends before our part does
            part.unlink()
            yield from _receive(session, url, download, part)
            return
        response.raise_for_status()
        goes_on = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        size = have if goes_on else 0
        with part.open("ab" if goes_on else "wb") as file:
            # Raw, for some servers call a .gz file an encoding, and requests would unpack it.
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                size += len(chunk)
                if size > download.bytes:
                    part.unlink()
                    raise UserError(f"{url}: found more than the expected {download.bytes} bytes; nothing was kept")
                file.write(chunk)
                yield size
            file.flush()
            os.fsync(file.fileno())
    if size < download.bytes:
        raise UserError(f"{url}: found {size} bytes, expected {download.bytes}; run the command again to go on from there")


def _accept(url: str, download: Download, part: Path, path: Path) -> None:
    """Gives a complete part its name if its content is right, and removes it if not."""
    if (found := _sha256(part)) != download.sha256:
        part.unlink()
        raise UserError(f"{url}: found sha256 {found}, expected {download.sha256}; nothing was kept")
    part.replace(path)
    entry = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(entry)  # the new name, too, outlives a power cut
    finally:
        os.close(entry)


def _right(path: Path, download: Download) -> bool:
    return path.is_file() and path.stat().st_size == download.bytes and _sha256(path) == download.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Keeps a second run from writing into the same parts; a killed run leaves no lock."""
    import filelock

    place.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(place / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise UserError(f"{place}: another run is fetching into this folder; wait until it ends") from error
    try:
        yield
    finally:
        lock.release()


def _network_error(url: str, error: Exception, place: Path, missing: list[Download]) -> UserError:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        what = f"{url}: the server says {error.response.status_code} {error.response.reason}"
    else:
        what = f"no connection to {urlsplit(url).hostname or url} ({type(error).__name__})"
    many = len(missing) > MOST_NAMED
    files = f"the {len(missing)} missing files" if many else ", ".join(download.file for download in missing)
    return UserError(f"{what}; try again later, set EDGEPRESS_MIRROR to another base URL, or put {files} into {place} by hand")


def _storage_error(place: Path, error: OSError, total: int) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"{place}: the disk is full, {total} bytes are needed; free some and run the command again to go on")
    return UserError(f"{error.filename or place}: {error.strerror or error}; cannot keep the files there")
