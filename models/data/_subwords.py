"""Subwords: pieces of words, learned by byte-pair encoding (Sennrich et al. 2016), so that a small vocabulary writes any text.

A word's first piece carries the space before it as U+2581 (Kudo & Richardson 2018, "SentencePiece"), so that the pieces of a
text, one after the other, are the text: `decode` needs the vocabulary and nothing else. Punctuation and symbols are pieces
of their own; that also keeps `<...>` free for the special ones, which stand for no text.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")
PAD, START, END, UNKNOWN = range(4)
SPACE = "\u2581"
ALONE = rf"{SPACE}?[\p{{P}}\p{{Sm}}\p{{Sc}}]"
"""What no word is merged with: a punctuation mark or a sign, and the space before it."""


def learn(texts: Sequence[str], size: int) -> Tokenizer:
    """A tokenizer of at most `size` pieces, the specials among them; equal texts give an equal one."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the library's only switch; its threads do not survive a fork
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=SPECIALS[UNKNOWN]))
    words = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.Split(Regex(ALONE), "isolated")])
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, special_tokens=list(SPECIALS), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.encode_special_tokens = True  # a text that says "<pad>" means these characters
    return tokenizer


def vocabulary(tokenizer: Tokenizer) -> tuple[str, ...]:
    """All pieces, in the order of their ids."""
    ids = tokenizer.get_vocab()
    return tuple(sorted(ids, key=ids.__getitem__))


def encode(tokenizer: Tokenizer, texts: Sequence[str], length: int) -> NDArray[np.int64]:
    """Ids [N, length]: the pieces of each text, cut to fit if there are too many, then <end>, then <pad>."""
    ids = np.full((len(texts), length), PAD, np.int64)
    for row, encoding in zip(ids, tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True):
        pieces = encoding.ids[: length - 1]
        row[: len(pieces)] = pieces
        row[len(pieces)] = END
    return ids


def decode(ids: Iterable[int], vocabulary: Sequence[str]) -> str:
    """The text of ids up to <end>; `encode` is undone but for a space at the text's start and for what <unk> stands for."""
    pieces = []
    for index in ids:
        if index == END:
            break
        piece = vocabulary[index]
        if not (piece.startswith("<") and piece.endswith(">") and len(piece) > 2):
            pieces.append(piece)
    return "".join(pieces).replace(SPACE, " ").removeprefix(" ")
