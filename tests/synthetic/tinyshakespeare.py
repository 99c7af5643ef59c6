"""A small text in the layout of tinyshakespeare: one of six lines after another, in an order that repeats."""

from __future__ import annotations

from pathlib import Path

LINES = (
    "To be, or not to be:",
    "that is the question.",
    "ROMEO:",
    "But soft!",
    "What light through yonder window breaks?",
    "",
    "Ay, come.",
)
"""With all characters of the made-up captions, which are read with this alphabet."""
CHARACTERS = 10_000
"""66 windows of 128 characters for training, 3 for validation, 7 for the test."""


def write(root: Path) -> None:
    """Writes `root`/tinyshakespeare/files/input.txt."""
    file = root / "tinyshakespeare" / "files" / "input.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    verse = "\n".join(LINES[index % len(LINES)] for index in (0, 1, 5, 2, 3, 6, 4, 5))
    file.write_text((verse * (CHARACTERS // len(verse) + 1))[:CHARACTERS], encoding="utf-8", newline="\n")
