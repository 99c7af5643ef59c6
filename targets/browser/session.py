"""One page that works for us: what it is to do, what it answers, whether it is still there. Threads of the server call it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition

from pipeline.core import Arrays, Json
from targets._result import RunFailed
from targets.browser.message import pack, unpack

POLL_SECONDS = 20.0
"""A page that asks for work is answered after so long, with none."""
GONE_SECONDS = 45.0
"""A page that was not heard of for so long is closed, asleep or out of reach."""
PATIENCE_SECONDS = 600.0
"""It may come back; after so long it is given up."""
GOODBYE_SECONDS = 3.0
"""To hear that it is over, before the server stops."""
Heard = Callable[[str], None]


@dataclass
class Session:
    """Commands are numbered. A page that was loaded anew gets the one that is open again: all that it needs is in it."""

    about: Json = field(default_factory=dict)
    """What the page said of its browser."""
    files: dict[str, Path] = field(default_factory=dict)
    """What it may fetch, by sha256."""
    _number: int = 0
    _command: bytes | None = None
    _answer: tuple[Json, Arrays] | str | None = None
    _progress: tuple[float, float] = (0, 1)
    _seen: float = 0.0
    _over: bool = False
    _changed: Condition = field(default_factory=Condition)

    def wait(self, seconds: float) -> bool:
        """Whether a page introduces itself within so long."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self.about), seconds)

    def ask(self, words: Json, arrays: Arrays, timeout: float, heard: Heard) -> tuple[Json, Arrays]:
        """Has the page do something. RunFailed for one that does not answer, cannot, or answers what is no message."""
        with self._changed:
            self._number += 1
            self._command = pack({"number": self._number, **words}, arrays)
            self._answer, self._progress, began = None, (0, 1), time.monotonic()
            self._changed.notify_all()
            try:
                answer = self._wait(began, timeout, heard)
            finally:
                self._command = None
        if isinstance(answer, str):
            raise RunFailed(answer)
        return answer

    def _wait(self, began: float, timeout: float, heard: Heard) -> tuple[Json, Arrays] | str:
        """The answer to the open command."""
        while True:
            if self._answer is not None:
                return self._answer
            self._changed.wait(1.0)
            self._look(began, timeout, heard)

    def close(self) -> None:
        """Lets the page know that it is over, if it is there."""
        with self._changed:
            self._number += 1
            self._command = pack({"number": self._number, "do": "end"}, {})
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answer == ({}, {}), GOODBYE_SECONDS)

    def stop(self) -> None:
        """Whoever waits for work goes away."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _look(self, began: float, timeout: float, heard: Heard) -> None:
        """Says how far the page is; RunFailed when it takes too long or stays away."""
        now = time.monotonic()
        away = now - max(self._seen, began)
        if now - began > timeout:
            raise RunFailed(f"the browser gave no answer within {timeout:g} s")
        if away > PATIENCE_SECONDS:
            raise RunFailed(f"the page is closed: nothing was heard of it for {away:.0f} s")
        if away > GONE_SECONDS:
            heard("waiting: the page is not open; open it again, keep it in front and the screen on")
        else:
            heard("progress {:g} {:g}".format(*self._progress))

    # What the page does.

    def hello(self, about: Json) -> None:
        """It was opened, or loaded anew."""
        with self._changed:
            self.about, self._seen = about, time.monotonic()
            self._changed.notify_all()

    def next(self) -> bytes | None:
        """What it is to do; None when there is nothing for a while."""
        with self._changed:
            self._seen = time.monotonic()
            self._changed.wait_for(lambda: self._over or self._command is not None, POLL_SECONDS)
            self._seen = time.monotonic()
            return self._command

    def progress(self, number: int, done: float, total: float) -> None:
        """How far it is."""
        with self._changed:
            self._seen = time.monotonic()
            if number == self._number and 0 <= done <= total and total > 0:
                self._progress = (done, total)
                self._changed.notify_all()

    def answer(self, number: int, body: bytes) -> None:
        """What came of a command; an answer to one that is not open any more is dropped."""
        found: tuple[Json, Arrays] | str
        try:
            found = unpack(body)
        except ValueError as error:
            found = str(error)
        else:
            if isinstance(reason := found[0].get("failed"), str):
                found = f"the browser: {' '.join(reason.split())[:500]}"
        with self._changed:
            self._seen = time.monotonic()
            if number == self._number and self._command is not None:
                self._answer, self._command = found, None  # whoever asks for the next one must not get this again
                self._changed.notify_all()
