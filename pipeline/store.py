"""The content-addressed store: atomic, locked, verified on read.

objects/<key>/   entry.json (label, files with bytes and sha256, seconds) and the files
partial/<key>/   checkpoints of an unfinished step; they survive a kill and go when the step is done
tmp/<key>/       an entry being written; only the holder of the key's lock touches it
locks/<key>      held while a step runs, so that two runs do each step once
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.core import Json, ParityError, Unsupported
from pipeline.errors import UserError
from pipeline.files import disk_full, file_sha256, fsync

ENTRY = "entry.json"
DISK_FULL_BELOW = 1 << 20
"""Bytes. A failure with less than this left on the disk is the disk's: libraries say so in words of their own."""


@dataclass(frozen=True)
class Entry:
    """A finished step's files. `files` maps a relative name to [bytes, sha256]."""

    key: str
    kind: str
    label: str
    inputs: tuple[str, ...]
    created: float
    seconds: float
    files: dict[str, tuple[int, str]]
    facts: Json

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(size for size, _ in self.files.values())

    @property
    def sha256(self) -> str:
        """One hash over all files' names and hashes: the artifact's identity."""
        text = "\n".join(f"{name} {digest}" for name, (_, digest) in sorted(self.files.items()))
        return hashlib.sha256(text.encode()).hexdigest()


class Corrupt(Exception):
    """An entry whose bytes are not those that were written."""


class Store:
    """A folder of finished steps. Every method is safe beside other processes on the same store."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """The folder of a finished entry."""
        return self.root / "objects" / key

    def partial(self, key: str) -> Path:
        """The folder for a step's checkpoints."""
        folder = self.root / "partial" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def get(self, key: str) -> Entry | None:
        """The entry, every byte verified; None when it does not exist. Raises Corrupt naming the file that is wrong."""
        folder = self.path(key)
        while (seen := _inode(folder)) is not None:
            try:
                entry = _verified(folder)
            except Corrupt:
                if _inode(folder) == seen:
                    raise
                continue  # another process removed it, or made it anew, while we read
            with contextlib.suppress(FileNotFoundError):
                os.utime(folder)  # `gc` keeps what was used lately
            return entry
        return None

    def mend(self, key: str) -> None:
        """Removes an entry if it is damaged: under its lock, so that one which another run has just rebuilt stays."""
        with self.lock(key):
            try:
                self.get(key)
            except Corrupt:
                self.remove(key)

    def full(self, error: BaseException) -> bool:
        """Whether a failure comes of a full disk."""
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        try:
            return shutil.disk_usage(self.root).free < DISK_FULL_BELOW
        except OSError:
            return False

    @contextlib.contextmanager
    def lock(self, key: str, *, wait: bool = True) -> Iterator[bool]:
        """Holds a key's lock; yields False at once when `wait` is off and another process has it."""
        import filelock

        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / key, timeout=-1 if wait else 0, poll_interval=0.05)
        try:
            lock.acquire()
        except filelock.Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """An empty folder to write an entry's files into; gone again if the block fails. The caller holds the lock."""
        folder = self.root / "tmp" / key
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        except (UserError, Unsupported, ParityError):
            raise
        except Exception as error:
            if self.full(error):  # asked before the folder goes and makes room
                raise disk_full(self.root) from error
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(
        self, folder: Path, key: str, *, kind: str, label: str, inputs: tuple[str, ...], seconds: float, facts: Json
    ) -> Entry:
        """Makes a written folder an entry: hashes, fsync, rename. The caller holds the lock."""
        files = {
            str(path.relative_to(folder)): (path.stat().st_size, file_sha256(path))
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        entry = Entry(key, kind, label, inputs, time.time(), seconds, files, facts)
        body = asdict(entry)
        (folder / ENTRY).write_text(_sealed(body))
        for path in [*folder.rglob("*"), folder]:
            fsync(path)
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
        fsync(target.parent)
        shutil.rmtree(self.root / "partial" / key, ignore_errors=True)
        return entry

    def remove(self, key: str) -> None:
        """Deletes an entry: renamed away first, so that nobody sees half of it."""
        doomed = self.root / "tmp" / f"{key}.removed.{os.getpid()}"
        doomed.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.path(key).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def keys(self) -> list[str]:
        """The keys of all finished entries."""
        folder = self.root / "objects"
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def entries(self) -> Iterator[Entry]:
        """Every entry that can be read, its files not verified."""
        for key in self.keys():
            with contextlib.suppress(Corrupt):
                yield _read_entry(self.path(key))

    def collect(self, older_than_days: float) -> tuple[int, int]:
        """Removes entries and leftovers not used for so many days and not in use now; returns how many and their bytes."""
        limit = time.time() - older_than_days * 86400
        removed = freed = 0
        for kind in ("objects", "partial", "tmp"):
            folder = self.root / kind
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                with contextlib.suppress(FileNotFoundError):  # another process was quicker
                    if path.stat().st_mtime > limit:
                        continue
                    with self.lock(path.name.split(".")[0], wait=False) as held:
                        if held:
                            freed += sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
                            self.remove(path.name) if kind == "objects" else shutil.rmtree(path, ignore_errors=True)
                            removed += 1
        return removed, freed


def _inode(folder: Path) -> tuple[int, int] | None:
    """Which folder it is: the number, which the next one made may get again, and when it was changed."""
    try:
        found = folder.stat()
        return found.st_ino, found.st_ctime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None


def _verified(folder: Path) -> Entry:
    entry = _read_entry(folder)
    for name, (size, digest) in entry.files.items():
        path = folder / name
        try:
            wrong = "" if path.stat().st_size == size and file_sha256(path) == digest else "does not match its sha256"
        except FileNotFoundError:
            wrong = "is missing"
        if wrong:
            raise Corrupt(f"{entry.label} (key {folder.name[:12]}): file {name} {wrong}")
    return entry


def _sealed(body: Json) -> str:
    """The one text that an entry.json can have."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({**body, "entry_sha256": digest}, indent=1)


def _read_entry(folder: Path) -> Entry:
    try:
        text = (folder / ENTRY).read_text()
        body = json.loads(text)
        del body["entry_sha256"]
        if text != _sealed(body):
            raise Corrupt(f"key {folder.name[:12]}: {ENTRY} does not match its sha256")
        files = {name: (int(size), str(digest)) for name, (size, digest) in body.pop("files").items()}
        return Entry(files=files, inputs=tuple(body.pop("inputs")), **body)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"key {folder.name[:12]}: {ENTRY} cannot be read ({type(error).__name__})") from error
