"""Pictures for a person to look at: many side by side, as a PNG file in a data: URI. Numpy and the standard library only."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from pipeline.core import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR = 0, 2
"""Colour types of the format."""
GAP = 2
"""Pixels between pictures."""


def sheet(pictures: Array, columns: int, enlarged: int = 2) -> str:
    """Pictures [N, 1 or 3, H, W], 0 to 1, row by row, each pixel a square of `enlarged`: "data:image/png;base64,...".

    >>> sheet(np.zeros((2, 1, 1, 1)), columns=2)[:30]
    'data:image/png;base64,iVBORw0K'
    """
    n, channels, height, width = pictures.shape
    rows = -(-n // columns)
    place = (height * enlarged + GAP, width * enlarged + GAP)
    levels = np.round(255 * np.nan_to_num(pictures).clip(0, 1)).astype(np.uint8)
    large = levels.repeat(enlarged, axis=2).repeat(enlarged, axis=3).transpose(0, 2, 3, 1)
    whole = np.full((rows * place[0] - GAP, columns * place[1] - GAP, channels), 255, np.uint8)
    for number, picture in enumerate(large):
        top, left = (number // columns) * place[0], (number % columns) * place[1]
        whole[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return "data:image/png;base64," + base64.b64encode(png(whole)).decode()


def png(pixels: Array) -> bytes:
    """uint8 [H, W, 1 or 3] as a file of the format (W3C, "Portable Network Graphics", 2003), lines unfiltered."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, GREY if channels == 1 else COLOUR, 0, 0, 0)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # each begins with its filter
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
