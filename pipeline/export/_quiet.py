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
    root_handlers = list(logging.root.handlers)  # logging.warning() in a library installs one when there is none
    with tempfile.TemporaryFile() as chatter:
        saved = [(fd, os.dup(fd)) for fd in (1, 2)]
        try:
            _flush()
            for fd, _ in saved:
                os.dup2(chatter.fileno(), fd)
            with _python_streams(), warnings.catch_warnings():
                for category, message in EXPECTED_WARNINGS:
                    warnings.filterwarnings("ignore", message, category)
                yield
        except Exception as error:
            _flush()
            chatter.seek(0)
            error.add_note(chatter.read().decode(errors="replace"))
            raise
        finally:
            _flush()
            for fd, copy in saved:
                os.dup2(copy, fd)
                os.close(copy)
            logging.root.handlers[:] = root_handlers


@contextmanager
def _python_streams() -> Iterator[None]:
    """Points sys.stdout and sys.stderr at the descriptors, wherever a test or a notebook has put them.

    These streams are never closed: a library that is imported meanwhile may keep them and write to them later.
    """
    with contextlib.ExitStack() as stack:
        for fd, redirect in ((1, contextlib.redirect_stdout), (2, contextlib.redirect_stderr)):
            stream = open(fd, "w", buffering=1, closefd=False)  # noqa: PTH123, SIM115  # a descriptor, not a path
            stack.enter_context(redirect(stream))
            stack.callback(stream.flush)
        yield


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
