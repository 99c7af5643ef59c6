"""A program for arm64, made here without a compiler: it prints its arguments, a line each, then a text, and ends as told."""

from __future__ import annotations

import struct
from pathlib import Path

BASE = 0x400000
HEADERS = 64 + 56
CRASH = -1
"""Instead of an exit code: an instruction that does not exist."""


def write(path: Path, text: str, code: int = 0, machine: int = 183) -> Path:
    """The program as an executable file. `machine` is what its ELF header says of the processor."""
    data = text.encode()
    place = BASE + HEADERS + 4 * len(_instructions(0, 0, 0))
    body = struct.pack(f"<{len(_instructions(0, 0, 0))}I", *_instructions(place, len(data), code)) + data + b"\n"
    entry, size = BASE + HEADERS, HEADERS + len(body)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x1000)
    path.write_bytes(header + segment + body)
    path.chmod(0o755)
    return path


def _instructions(place: int, size: int, code: int) -> list[int]:
    """What the kernel gives at the start: the number of arguments at sp, then their places, the last followed by a zero."""
    newline = place + size
    return [
        0x910043F4,  # add  x20, sp, #16          the second argument: the first is the program's name
        0xF8408681,  # next: ldr x1, [x20], #8
        0xB4000201,  # cbz  x1, text              + 16 instructions
        0xD2800002,  # mov  x2, #0
        0x38626823,  # length: ldrb w3, [x1, x2]
        0x34000063,  # cbz  w3, print             + 3 instructions
        0x91000442,  # add  x2, x2, #1
        0x17FFFFFD,  # b    length
        *_print(),
        *_load(1, newline),
        0xD2800022,  # mov  x2, #1
        *_print(),
        0x17FFFFF0,  # b    next                  - 16 instructions
        *_load(1, place),  # text:
        *_load(2, size),
        *_print(),
        *([0x00000000] if code == CRASH else []),  # udf
        *_load(0, code if code != CRASH else 0),
        0xD2800BA8,  # mov  x8, #93               exit
        0xD4000001,  # svc  #0
        *([] if code == CRASH else [0]),
    ]


def _load(register: int, value: int) -> list[int]:
    """movz and movk: 32 bits."""
    return [0xD2800000 | (value & 0xFFFF) << 5 | register, 0xF2A00000 | (value >> 16 & 0xFFFF) << 5 | register]


def _print() -> list[int]:
    """write(1, x1, x2)."""
    return [0xD2800020, 0xD2800808, 0xD4000001]  # mov x0, #1; mov x8, #64; svc #0
