"""Captions of pictures, character by character, in Tiny Shakespeare's alphabet: another domain of the same symbols."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, final

import numpy as np
from annotated_types import Ge, Le

from models.data._images import digest
from models.data.multi30k_en_de import Multi30kEnDe, _lines
from models.data.tinyshakespeare import TinyShakespeare
from models.tasks.language import encode
from pipeline.core import Array, Arrays, Dataset, Domain, TensorSpec
from pipeline.errors import UserError

QUOTES = str.maketrans('"`', "''")
"""The alphabet has one kind of quotation mark; captions that lack another character after this are left out."""


@final
@dataclass(frozen=True)
class Multi30kCaptions:
    """English captions of Multi30k, a line each, as windows of `length` + 1 characters: `tokens` int64 [N, length + 1].

    Symbols are Tiny Shakespeare's 65, so that a model of that can be adapted; double quotation marks become single ones.
    Captions with a character that is missing still (digits but for 3, brackets, #, %, =) are left out: 72 of the first
    10,000 training captions (269 of all 29,000), 7 of 1,014 for validation, 11 of the test's 1,000. Splits are those of the
    translations.
    Source: the English files of the data set `multi30k_en_de` (Elliott et al., 2016) and, for its alphabet, the text of
    `tinyshakespeare`, which say where they come from.
    """

    captions: Annotated[int, Ge(1), Le(29_000)] = 10_000
    """Training captions that are read, from the first: adapting takes few."""
    length: Annotated[int, Ge(2), Le(1024)] = 128
    """Characters of a window that are to be predicted."""

    licence: ClassVar[str] = f"as its parts: {Multi30kEnDe.licence}; {TinyShakespeare.licence}"
    made_of: ClassVar[tuple[str, ...]] = ("multi30k_en_de", "tinyshakespeare")
    """The data sets whose files it reads: it has none of its own."""
    downloads: ClassVar[tuple[()]] = ()

    def files(self, root: Path) -> list[Path]:
        """The three English files (training, validation, test) and the plays."""
        return [*Multi30kEnDe().files(root)[::2], *TinyShakespeare().files(root)]

    def load(self, root: Path) -> Dataset:
        """Reads the captions and cuts them into windows."""
        *paths, _ = self.files(root)
        vocabulary = TinyShakespeare().load(root).domain.vocabulary
        splits: dict[str, Arrays] = {}
        for split, path in zip(("train", "validation", "test"), paths, strict=True):
            lines = _lines(path)[: self.captions if split == "train" else None]
            splits[split] = {"tokens": self._windows(lines, vocabulary, path)}
        tokens = TensorSpec((1, self.length + 1), "int64")
        return Dataset(
            domain=Domain("multi30k_captions", {"tokens": tokens}, classes=len(vocabulary), vocabulary=vocabulary),
            splits=splits,
            sha256=digest(splits["train"]),
        )

    def _windows(self, lines: list[str], vocabulary: tuple[str, ...], path: Path) -> Array:
        """Each window begins with the last character of the one before."""
        lines = [line.translate(QUOTES) for line in lines]
        text = "".join(f"{line}\n" for line in lines if set(line) <= set(vocabulary))
        if len(text) <= self.length:
            raise UserError(
                f"{path}: found {len(text)} characters of Tiny Shakespeare's alphabet, expected at least {self.length + 1}"
            )
        windows = np.lib.stride_tricks.sliding_window_view(encode(text, vocabulary, str(path)), self.length + 1)
        return windows[:: self.length].copy()
