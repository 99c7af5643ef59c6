"""Adapters: small files of tensors that a base graph takes as inputs beside its data, so that one is swapped for another.

Where a runtime has no format of its own for them they are safetensors files: 8 bytes that say how long a JSON header is, the
header (dtype, shape and place of each tensor), the tensors. Read with numpy, because nothing else is on a device.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from targets.runtimes._base import Arrays, Input, Unsupported

PREFIX = "adapter."
"""Of the names of inputs that an adapter fills. Zeros are no adapter."""
ONNX, PLAIN = ".onnx_adapter", ".adapter.safetensors"
"""How adapters' files end: in ONNX Runtime's own format, and for all others."""


def apart(expected: Mapping[str, Input]) -> tuple[dict[str, Input], dict[str, Input]]:
    """A file's inputs: those of its callers, and those of its adapter."""
    ours = {name: spec for name, spec in expected.items() if name.startswith(PREFIX)}
    return {name: spec for name, spec in expected.items() if name not in ours}, ours


def is_adapter(path: Path) -> bool:
    """Whether a file is one, by its name."""
    return path.name.endswith((ONNX, PLAIN))


def beside(files: list[Path]) -> Path | None:
    """The adapter among an artifact's files, if it has one."""
    return next((path for path in files if is_adapter(path)), None)


def refuse_beside(files: list[Path]) -> None:
    """For runtimes that would compute with the base alone, and not say so."""
    if path := beside(files):
        raise Unsupported(f"{path.name}: an adapter beside its base is given on CPUs only; merged, it runs here")


def filled(wanted: Mapping[str, Input], path: Path | None) -> Arrays:
    """What the adapter's inputs are to hold: its tensors, or zeros. ValueError for a file that is no adapter of these."""
    shapes = {name: tuple(size or 0 for size in spec.shape) for name, spec in wanted.items()}
    if path is None:
        return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    found = read(path)
    if strange := sorted(found.keys() ^ shapes.keys()):
        raise ValueError(f"{path.name}: is no adapter of this base: {strange[0]!r} is in only one of the two")
    for name, shape in shapes.items():
        if found[name].shape != shape:
            raise ValueError(f"{path.name}: {name!r} has shape {list(found[name].shape)}, and this base takes {list(shape)}")
    return found


def read(path: Path) -> Arrays:
    """The float32 tensors of a safetensors file. ValueError for what is none."""
    data = path.read_bytes()
    try:
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        body = memoryview(data)[8 + length :]
        found = {}
        for name, entry in header.items():
            if name != "__metadata__":
                first, last = entry["data_offsets"]
                if entry["dtype"] != "F32":
                    raise ValueError(f"{name!r} is {entry['dtype']}, expected F32")
                found[name] = np.frombuffer(body[first:last], "<f4").reshape(entry["shape"])
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name}: is no adapter file ({type(error).__name__}: {error})") from error
    return found
