"""Keeps the converters' chatter off the terminal without losing it when they fail."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

EXPECTED_WARNINGS: tuple[tuple[type[Warning], str], ...] = (
    # torch.onnx copies pytree specs with an API that torch itself has deprecated.
    (FutureWarning, r"`isinstance\(treespec, LeafSpec\)` is deprecated"),
    # nn.GRU and nn.LSTM rebuild their list of weights in forward; the weights themselves are registered parameters.
    (UserWarning, r"The tensor attributes .*_flat_weights"),
    # Calibration reads intermediate tensors, which is what the flag that is warned about is for.
    (UserWarning, r"Warning: Enabling `experimental_preserve_all_tensors`"),
)


@contextmanager
def quiet() -> Iterator[None]:
    """Captures what C++ and Python print while converting; an error that leaves the block carries it as a note.

    File descriptors belong to the process, so one thread may convert at a time.
    """
    with tempfile.TemporaryFile() as chatter, contextlib.ExitStack() as stack:
        # Undone last to first: the note is taken when everything has been flushed into the file.
        stack.push(lambda kind, error, trace: _note(error, chatter))
        # logging.warning() in a library installs a handler when the root logger has none.
        stack.callback(logging.root.handlers.__setitem__, slice(None), list(logging.root.handlers))
        for fd in (1, 2):
            stack.enter_context(_descriptor(fd, chatter))
        stack.enter_context(_python_streams())
        stack.enter_context(warnings.catch_warnings())
        for category, message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        yield


@contextmanager
def _descriptor(fd: int, target: IO[bytes]) -> Iterator[None]:
    saved = os.dup(fd)
    _flush()
    os.dup2(target.fileno(), fd)
    try:
        yield
    finally:
        _flush()
        os.dup2(saved, fd)
        os.close(saved)


@contextmanager
def _python_streams() -> Iterator[None]:
    """Points sys.stdout and sys.stderr at the descriptors, wherever a test or a notebook has put them.

    These streams are never closed: a library that is imported meanwhile may keep them and write to them later.
    """
    with contextlib.ExitStack() as stack:
        for fd, redirect in ((1, contextlib.redirect_stdout), (2, contextlib.redirect_stderr)):
            stream = open(fd, "w", buffering=1, closefd=False)  # noqa: SIM115  # not closed, see above
            stack.enter_context(redirect(stream))
            stack.callback(stream.flush)
        yield


def _note(error: BaseException | None, chatter: IO[bytes]) -> None:
    chatter.seek(0)
    text = chatter.read().decode(errors="replace")
    if error is not None and text:
        error.add_note(text)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
