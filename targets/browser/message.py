"""What the host and the page say to each other: a safetensors file, whose metadata holds words as JSON beside the arrays.

The format is a length, a JSON header and raw bytes: a page reads and writes it in a few lines, and nothing in it can be run.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.core import Arrays, Json

WORDS = "message"


def pack(words: Json, arrays: Arrays) -> bytes:
    """Words and arrays as bytes."""
    import numpy as np
    from safetensors.numpy import save

    packed: bytes = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {WORDS: json.dumps(words)})
    return packed


def unpack(body: bytes) -> tuple[Json, Arrays]:
    """The same again. ValueError for bytes that are no such message."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: Arrays = load(body)
        header: Any = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
        return dict(json.loads(header["__metadata__"][WORDS])), arrays
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the page sent no message: {' '.join(str(error).split())}") from error
