"""Made-up SST-2: a sentence is about a film, and good or bad words say whether it is liked."""

from __future__ import annotations

from itertools import product
from pathlib import Path

SUBJECTS = ("the film", "this story", "its hero", "the music", "every scene")
VERBS = ("is", "seems", "feels")
WORDS = {"1": ("good", "warm", "clever", "moving", "bright"), "0": ("bad", "dull", "stupid", "boring", "dark")}


def write(root: Path) -> None:
    """train.tsv (90 sentences), dev.tsv (30) and test.tsv (30) in `root/sst2/files`."""
    folder = root / "sst2/files"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{subject} {verb} {WORDS[label][word]}\t{label}\n"
        for subject, verb, word, label in product(SUBJECTS, VERBS, range(5), ("0", "1"))
    ]
    lines = [lines[index * 7 % len(lines)] for index in range(len(lines))]  # 7 has no factor in common with their number
    for part, chosen in (("train", lines[:90]), ("dev", lines[90:120]), ("test", lines[120:])):
        (folder / f"{part}.tsv").write_text("".join(chosen))
