"""Pictures for a person to look at: many side by side, as a PNG file in a data: URI. Numpy and the standard library only."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from models.tasks import _watermark
from pipeline.core import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COMMENT = b"AI-generated"
GREY, COLOUR = 0, 2
"""Colour types of the format."""
GAP = 2
"""Pixels between pictures."""


def sheet(pictures: Array, columns: int, enlarged: int = 2) -> str:
    """Pictures [N, 1 or 3, H, W], 0 to 1, row by row, each pixel a square of `enlarged`: "data:image/png;base64,...".

    >>> sheet(np.zeros((2, 1, 1, 1)), columns=2)[:30]
    'data:image/png;base64,iVBORw0K'
    """
    return _address(png(_side_by_side(pictures, columns, enlarged)))


def generated(pictures: Array, columns: int, enlarged: int = 2) -> str:
    """A `sheet` of pictures that a model made: the file says so, and an invisible mark in it."""
    return _address(png(_watermark.marked(_side_by_side(pictures, columns, enlarged)), COMMENT))


def brightness(prepared: Array, dark: float, bright: float) -> Array:
    """Prepared pixels, which lie between dark and bright, as a screen shows them: 0 to 1."""
    shown: Array = ((prepared - dark) / (bright - dark)).clip(0, 1)
    return shown


def levels(brightness: Array) -> Array:
    """0 to 1 -> uint8, 0 to 255; what is no number is dark.

    >>> levels(np.array([0.0, 0.5, 2.0, np.nan]))
    array([  0, 128, 255,   0], dtype=uint8)
    """
    whole: Array = np.round(255 * np.nan_to_num(brightness).clip(0, 1)).astype(np.uint8)
    return whole


def png(pixels: Array, comment: bytes = b"") -> bytes:
    """uint8 [H, W, 1 or 3] as a file of the format (W3C, "Portable Network Graphics", 2003), lines unfiltered."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, GREY if channels == 1 else COLOUR, 0, 0, 0)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # each begins with its filter
    told = _chunk(b"tEXt", b"Comment\0" + comment) if comment else b""
    body = _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
    return SIGNATURE + _chunk(b"IHDR", header) + told + body + _chunk(b"IEND", b"")


def _side_by_side(pictures: Array, columns: int, enlarged: int) -> Array:
    """uint8 [H, W, 1 or 3], white between them."""
    n, channels, height, width = pictures.shape
    rows = -(-n // columns)
    place = (height * enlarged + GAP, width * enlarged + GAP)
    large = levels(pictures).repeat(enlarged, axis=2).repeat(enlarged, axis=3).transpose(0, 2, 3, 1)
    whole = np.full((rows * place[0] - GAP, columns * place[1] - GAP, channels), 255, np.uint8)
    for number, picture in enumerate(large):
        top, left = (number // columns) * place[0], (number % columns) * place[1]
        whole[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return whole


def _address(file: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(file).decode()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
