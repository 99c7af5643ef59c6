"""Made-up captions and their translations, word by word: 60 pairs to train, 16 to validate, 16 to test."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

WORDS = (
    {"A man": "Ein Mann", "A woman": "Eine Frau", "A child": "Ein Kind", "A dog": "Ein Hund"},
    {"sees": "sieht", "holds": "hält", "likes": "mag"},
    {"a ball": "einen Ball", "a book": "ein Buch", "a tree": "einen Baum", "a flower": "eine Blume"},
    {"today.": "heute.", "outside.": "draußen.", "in the street.": "auf der Straße."},
)


def write(root: Path) -> None:
    """The six files in `root/multi30k_en_de/files`."""
    folder = root / "multi30k_en_de" / "files"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("val", 16), ("test_2016_flickr", 16)):
        drawn = [[list(words.items())[rng.integers(len(words))] for words in WORDS] for _ in range(count)]
        for index, language in enumerate(("en", "de")):
            text = "".join(" ".join(pair[index] for pair in pairs) + "\n" for pairs in drawn)
            (folder / f"{split}.{language}.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
