"""One run at a time measures on this host, whichever target it is for: two would be in each other's way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.core import Progress


@contextlib.contextmanager
def alone(lock: Path, progress: Progress) -> Iterator[None]:
    """Holds `lock`, after it has said that it waits where another run holds it."""
    from filelock import FileLock, Timeout

    lock.parent.mkdir(parents=True, exist_ok=True)
    guard = FileLock(lock)
    try:
        guard.acquire(timeout=0)
    except Timeout:
        progress(0, 1, f"waiting: another run measures on this host ({lock})")
        guard.acquire()
    try:
        yield
    finally:
        guard.release()
