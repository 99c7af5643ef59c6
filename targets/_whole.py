"""Folders on a device that are there whole or not at all, whoever else makes them, and whatever was killed in the middle.

    PLACE.part-HOST-PID-RANDOM    while it is made, by the process PID of the machine HOST
    PLACE                         from then on; it holds a file `complete`

Only what any `sh` has is used on the device: Android's small programs lack many an option.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipeline.errors import UserError
from targets.transport.remote import Channel, ConnectionLost, last_line

PART = re.compile(r".+\.part-(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}")


def there(channel: Channel, place: PurePosixPath) -> bool:
    """Whether it was made."""
    return channel.run(f"test -e '{place}/complete'").code == 0


@contextlib.contextmanager
def whole(channel: Channel, place: PurePosixPath) -> Iterator[PurePosixPath]:
    """Gives the empty folder in which it is made, and that its name in the end; the one of who was first stays.

    What fails is removed at once, if the device can be reached, and by the next set-up otherwise.
    """
    part = place.with_name(part_name(place.name))
    try:
        done(channel, f"mkdir '{part}'")
        yield part
        # Where another was first, `mv` puts this one into that one.
        done(
            channel,
            f"touch '{part}/complete' && {{ test -e '{place}/complete' || rm -rf '{place}'; }} && mv '{part}' '{place}' "
            f"&& rm -rf '{place}/{part.name}' && test -e '{place}/complete'",
        )
    finally:
        with contextlib.suppress(ConnectionLost, OSError):
            channel.run(f"rm -rf '{part}'")


def sweep(channel: Channel, home: PurePosixPath) -> None:
    """Removes what set-ups of this machine left that were killed. Of other machines nobody knows: `tidy` waits a day."""
    for name in channel.run(f"ls '{home}'").out.split():
        found = PART.fullmatch(name)
        if found and found["host"] == _host() and not _runs(int(found["process"])):
            done(channel, f"rm -rf '{home}/{name}'")


def push(channel: Channel, path: Path, folder: PurePosixPath) -> str:
    """Copies a file into a folder there; its place."""
    target = str(folder / path.name)
    try:
        channel.push(path, target)
    except OSError as error:
        raise UserError(f"the device: {error.strerror or error}") from error
    return target


def done(channel: Channel, command: str) -> None:
    """Runs a command that must work."""
    ended = channel.run(command)
    if ended.code:
        raise UserError(f"the device: {last_line(ended)}")


def part_name(name: str) -> str:
    """Of a folder while this process makes it."""
    return f"{name}.part-{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
