"""Our kernels' library, for a runtime that runs layers of +-1 by it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from targets.runtimes._base import Unsupported

LIBRARY = "libedgepress_binary.so"
OPERATORS = b"edgepress.binary"
"""What a file that needs it holds: in ONNX the domain of our operators, and the beginning of their names in TFLite."""
OPERATOR = OPERATORS + b".Packed"


def library(files: Iterable[Path] = ()) -> str:
    """Where it is: among the files, with which it was sent to a device, or made here. Unsupported where it is neither."""
    for file in files:
        if file.name == LIBRARY:
            return str(file.resolve())
    try:
        from pipeline.errors import UserError
        from targets.kernels.build import library as built
    except ImportError as error:
        raise Unsupported(
            "its layers of +-1 need our kernels, which were not sent along: for that the machine that sends needs a compiler for "
            "this one (Debian: g++-aarch64-linux-gnu, g++-arm-linux-gnueabihf)"
        ) from error
    try:
        return str(built())
    except UserError as error:
        raise Unsupported(str(error)) from error
