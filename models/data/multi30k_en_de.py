"""Multi30k, task 1: captions of pictures in English and their translations into German."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, final

import numpy as np
from annotated_types import Ge, Le

from models.data import _subwords as subwords
from models.data._download import Download, present
from models.data._images import digest
from pipeline.core import Array, Arrays, Dataset, Domain, TensorSpec
from pipeline.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BASE = "https://raw.githubusercontent.com/multi30k/dataset/a3d2e0d26b56f3846f66a952536ffed4e401d05a/data/task1/raw"
MOST_BYTES = 1 << 26
"""Texts beyond 64 MiB are refused: thirty times the training set's."""
MOST_LINE = 4096
"""Bytes of the longest caption that is taken, ten times the longest there is: memory goes by the longest."""


@final
@dataclass(frozen=True)
class Multi30kEnDe:
    """Pairs of an English `source` and a German `target`, int64 [N, length] subwords that end with <end>, then <pad>.

    `reference` uint8 [N, bytes] is the raw German caption in UTF-8, then zeros: what translations are judged by. One
    vocabulary for both languages, learned from the training pairs. 29000 training, 1014 validation (val) and 1000 test
    pairs (test_2016_flickr). Source: D. Elliott, S. Frank, K. Sima'an, L. Specia, "Multi30K: Multilingual English-German
    Image Descriptions" (2016), https://github.com/multi30k/dataset.
    """

    vocabulary: Annotated[int, Ge(300), Le(100_000)] = 4_000
    """Subwords at most."""
    length: Annotated[int, Ge(2), Le(512)] = 48
    """Subwords of a caption at most, <end> included; the rest is cut. Of the training captions 0.2 % are longer than 48."""

    licence: ClassVar[str] = "none stated; for non-commercial research and education (the Multi30K authors, README)"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            url=f"{BASE}/train.en.gz",
            file="train.en.gz",
            sha256="d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
            bytes=568_929,
        ),
        Download(
            url=f"{BASE}/train.de.gz",
            file="train.de.gz",
            sha256="726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
            bytes=637_044,
        ),
        Download(
            url=f"{BASE}/val.en.gz",
            file="val.en.gz",
            sha256="14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
            bytes=21_650,
        ),
        Download(
            url=f"{BASE}/val.de.gz",
            file="val.de.gz",
            sha256="f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
            bytes=24_681,
        ),
        Download(
            url=f"{BASE}/test_2016_flickr.en.gz",
            file="test_2016_flickr.en.gz",
            sha256="611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
            bytes=21_077,
        ),
        Download(
            url=f"{BASE}/test_2016_flickr.de.gz",
            file="test_2016_flickr.de.gz",
            sha256="9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
            bytes=22_890,
        ),
    )

    def files(self, root: Path) -> list[Path]:
        """The six files under `root/multi30k_en_de/files`: training, validation, test; English before German."""
        return present(root, "multi30k_en_de", self.downloads)

    def load(self, root: Path) -> Dataset:
        """Reads the files and learns the vocabulary."""
        paths = self.files(root)
        pairs = [_pair(*paths[first : first + 2]) for first in (0, 2, 4)]
        tokenizer = subwords.learn([*pairs[0][0], *pairs[0][1]], self.vocabulary)
        train, validation, test = (self._encoded(tokenizer, *pair) for pair in pairs)
        vocabulary = subwords.vocabulary(tokenizer)
        tokens = TensorSpec((1, self.length), "int64")
        return Dataset(
            domain=Domain("multi30k_en_de", {"source": tokens}, len(vocabulary), {"target": tokens}, vocabulary),
            splits={"train": train, "validation": validation, "test": test},
            sha256=digest(train),
        )

    def _encoded(self, tokenizer: Tokenizer, english: list[str], german: list[str]) -> Arrays:
        source, target = (subwords.encode(tokenizer, lines, self.length) for lines in (english, german))
        return {"source": source, "target": target, "reference": _bytes(german)}


def _pair(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """Two files that are each other's translation, line by line."""
    first, second = _lines(source), _lines(target)
    if len(first) != len(second):
        raise UserError(f"{source} holds {len(first)} lines, but {target} holds {len(second)}; expected a translation of each")
    return first, second


def _lines(path: Path) -> list[str]:
    """The lines of a gzipped UTF-8 text, none of them empty or too long."""
    try:
        with gzip.open(path) as stream:
            content = stream.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be unpacked ({error}), expected an intact .gz file") from error
    if not 0 < len(content) <= MOST_BYTES:
        found = "more" if content else "0"
        raise UserError(f"{path}: found {found} bytes of text, expected 1 to {MOST_BYTES}")
    lines = content.removesuffix(b"\n").split(b"\n")
    return [_line(f"{path}: line {number}", line) for number, line in enumerate(lines, start=1)]


def _line(where: str, line: bytes) -> str:
    if len(line) > MOST_LINE:
        raise UserError(f"{where}: found {len(line)} bytes, expected at most {MOST_LINE}")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: found byte {line[error.start]:02x} at column {error.start + 1}, expected UTF-8") from error
    if not text.strip() or "\0" in text:
        raise UserError(f"{where}: found {'a NUL character' if text.strip() else 'an empty line'}, expected a caption")
    return text


def _bytes(texts: list[str]) -> Array:
    """The texts in UTF-8, uint8 [N, bytes of the longest], filled up with zeros."""
    encoded = [text.encode() for text in texts]
    width = max(map(len, encoded))
    return np.frombuffer(b"".join(text.ljust(width, b"\0") for text in encoded), np.uint8).reshape(len(texts), width).copy()
