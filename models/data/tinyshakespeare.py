"""Tiny Shakespeare: a million characters of plays, to learn writing from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, final

import numpy as np
from annotated_types import Ge, Le

from models.data._download import Download, present
from models.data._images import digest
from models.tasks.language import encode
from pipeline.core import Arrays, Dataset, Domain, TensorSpec
from pipeline.errors import UserError

MOST_BYTES = 1 << 26
"""64 MiB: sixty times this text. A larger one would not be a small set, and its windows would fill the memory."""
VALIDATION, TEST = 0.85, 0.90
"""Where these parts begin, as fractions of the text; the last tenth is what is usually judged on."""


@final
@dataclass(frozen=True)
class TinyShakespeare:
    """Windows of `length` + 1 characters, each beginning with the last one of the window before: `tokens` int64 [N, length + 1].

    A token is the place of a character among the distinct ones of the training part, sorted. The text is cut by position:
    the last 10 % are the test, the 5 % before them validation.
    Source: A. Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks" (2015),
    https://github.com/karpathy/char-rnn, data/tinyshakespeare.
    """

    length: Annotated[int, Ge(2), Le(1024)] = 128
    """Characters of a window that are to be predicted."""

    licence: ClassVar[str] = "public domain (W. Shakespeare); repository MIT (A. Karpathy)"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            url="https://raw.githubusercontent.com/karpathy/char-rnn/"
            "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
            file="input.txt",
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            bytes=1_115_394,
        ),
    )

    def files(self, root: Path) -> list[Path]:
        """The text, `root/tinyshakespeare/files/input.txt`."""
        return present(root, "tinyshakespeare", self.downloads)

    def load(self, root: Path) -> Dataset:
        """Reads the text and cuts it into windows."""
        (path,) = self.files(root)
        text = _read(path)
        bounds = {"train": 0, "validation": int(VALIDATION * len(text)), "test": int(TEST * len(text))}
        vocabulary = tuple(sorted(set(text[: bounds["validation"]])))
        if not vocabulary:
            raise UserError(f"{path}: found {len(text)} characters, expected at least {self.length + 1} in each of three parts")
        tokens = encode(text, vocabulary, str(path))
        ends = [*list(bounds.values())[1:], len(text)]
        splits: dict[str, Arrays] = {}
        for (split, start), stop in zip(bounds.items(), ends, strict=True):
            if stop - start <= self.length:
                raise UserError(
                    f"{path}: its {split} part has {stop - start} characters, expected at least {self.length + 1} (one window)"
                )
            windows = np.lib.stride_tricks.sliding_window_view(tokens[start:stop], self.length + 1)
            splits[split] = {"tokens": windows[:: self.length].copy()}
        return Dataset(
            domain=Domain(
                "tinyshakespeare",
                {"tokens": TensorSpec((1, self.length + 1), "int64")},
                classes=len(vocabulary),
                vocabulary=vocabulary,
            ),
            splits=splits,
            sha256=digest(splits["train"]),
        )


def _read(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise UserError(f"{path}: found {size} bytes, expected at most {MOST_BYTES}")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        found = error.object[error.start]
        raise UserError(f"{path}: byte {error.start} (0x{found:02x}) is not UTF-8, expected a text in UTF-8") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}), expected a text in UTF-8") from error
