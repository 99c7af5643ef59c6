"""SST-2: sentences from film reviews, liked or not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, final

import numpy as np
from annotated_types import Ge, Le, Lt

from models.data import _subwords as subwords
from models.data._download import Download, present
from models.data._images import digest
from pipeline.core import Arrays, Dataset, Domain, TensorSpec
from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

LABELS = ("0", "1")
MOST_BYTES = 1 << 26
"""Files beyond 64 MiB are refused: a hundred times the largest one here."""
COMMIT = "457ffd83de90a9d6d472d8ffc31bbffe40a8b236"
BASE = f"https://raw.githubusercontent.com/clairett/pytorch-sentiment-classification/{COMMIT}/data/SST2"


@final
@dataclass(frozen=True)
class Sst2:
    """English sentences in lower case: `tokens` int64 [N, length], `label` int64 [N] (0 negative, 1 positive).

    6920 sentences to train on, 872 for validation, 1821 for the test: the split by sentences, without the 60000 phrases
    that GLUE adds to the training. Tokens are subwords learned from the training sentences, <end> last, then <pad> (id 0).
    Source: R. Socher et al., "Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank" (2013), from
    https://github.com/clairett/pytorch-sentiment-classification.
    """

    vocabulary: Annotated[int, Ge(100), Le(30_000)] = 4_000
    """Pieces at most."""
    length: Annotated[int, Ge(2), Le(512)] = 64
    """Tokens of a sentence; what is longer loses its end."""
    hidden: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Share of tokens that training replaces by <unk>, anew in every batch."""

    licence: ClassVar[str] = "none stated (sentences of Rotten Tomatoes reviews, used in research)"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            url=f"{BASE}/train.tsv",
            file="train.tsv",
            sha256="ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920",
            bytes=720_259,
        ),
        Download(
            url=f"{BASE}/dev.tsv",
            file="dev.tsv",
            sha256="eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359",
            bytes=92_057,
        ),
        Download(
            url=f"{BASE}/test.tsv",
            file="test.tsv",
            sha256="831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7",
            bytes=188_749,
        ),
    )

    def files(self, root: Path) -> list[Path]:
        """train.tsv, dev.tsv and test.tsv under `root/sst2/files`."""
        return present(root, "sst2", self.downloads)

    def load(self, root: Path) -> Dataset:
        """Reads the three files, and learns the subwords from the first."""
        train, validation, test = (read(path) for path in self.files(root))
        tokenizer = subwords.learn(train[0], self.vocabulary)
        encoded = partial(_encoded, tokenizer=tokenizer, length=self.length)
        splits = {"train": encoded(train), "validation": encoded(validation), "test": encoded(test)}
        domain = Domain(
            "sst2",
            {"tokens": TensorSpec((1, self.length), "int64")},
            classes=len(LABELS),
            vocabulary=subwords.vocabulary(tokenizer),
        )
        return Dataset(domain, splits, digest(splits["train"]), augment=partial(hide, share=self.hidden))


def read(path: Path) -> tuple[list[str], list[int]]:
    """Sentences and labels of a file with a `sentence TAB label` in each line; a UserError names the line that is not."""
    if (size := path.stat().st_size) > MOST_BYTES:
        raise UserError(f"{path}: found {size} bytes, expected at most {MOST_BYTES}")
    sentences, labels = [], []
    for number, line in enumerate(path.read_bytes().removesuffix(b"\n").split(b"\n"), start=1):
        try:
            sentence, *rest = line.decode().split("\t")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: line {number}: found byte {line[error.start]:#04x}, expected UTF-8") from error
        if len(rest) != 1:
            raise UserError(f"{path}: line {number}: found {len(rest)} tabs, expected a sentence, one tab and a label")
        if not sentence.strip():
            raise UserError(f"{path}: line {number}: found no sentence before the tab, expected some words")
        if rest[0] not in LABELS:
            raise UserError(f"{path}: line {number}: found label {rest[0][:20]!r}, expected {' or '.join(LABELS)}")
        sentences.append(sentence)
        labels.append(int(rest[0]))
    return sentences, labels


def hide(batch: dict[str, torch.Tensor], generator: torch.Generator, share: float) -> dict[str, torch.Tensor]:
    """Replaces each token but <pad> and <end> by <unk> with probability `share`: word dropout (Iyyer et al., 2015)."""
    import torch

    tokens = batch["tokens"]
    drawn = torch.rand(tokens.shape, generator=generator, device=generator.device).to(tokens.device)
    hidden = (drawn < share) & (tokens != subwords.PAD) & (tokens != subwords.END)
    return {**batch, "tokens": tokens.masked_fill(hidden, subwords.UNKNOWN)}


def _encoded(lines: tuple[list[str], list[int]], tokenizer: Tokenizer, length: int) -> Arrays:
    sentences, labels = lines
    return {"tokens": subwords.encode(tokenizer, sentences, length), "label": np.array(labels, np.int64)}
