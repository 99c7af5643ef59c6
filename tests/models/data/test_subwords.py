"""Subwords: what is written can be read again, and the same texts give the same vocabulary everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data._subwords import END, PAD, SPECIALS, UNKNOWN, decode, encode, learn, vocabulary

ROOT = Path(__file__).resolve().parents[3]
TEXTS = [
    "A man, sitting on a bench, reads <b>the</b> newspaper.",
    "Ein Mann sitzt auf einer Bank und liest die Zeitung!",
    "Größe: 3-4 Meter (ungefähr), sagt  er; 'ja'.",
] * 3
TOKENIZER = learn(TEXTS, 200)
PIECES = vocabulary(TOKENIZER)
ALPHABET = sorted(set("".join(TEXTS)))


@pytest.mark.parametrize("text", [*TEXTS, "<pad> is <b>not</b> padding", "two  spaces, a trailing one "])
def test_a_text_can_be_read_from_its_pieces(text: str) -> None:
    assert decode(encode(TOKENIZER, [text], 100)[0], PIECES) == text


@given(st.text(st.sampled_from(ALPHABET), max_size=40).filter(lambda text: not text.startswith(" ")))
def test_whatever_is_written_in_known_characters_can_be_read_again(text: str) -> None:
    assert decode(encode(TOKENIZER, [text], 100)[0], PIECES) == text


def test_the_specials_come_first_and_no_other_piece_looks_like_one() -> None:
    html = vocabulary(learn(["<b>bold</b> <i>italic</i>"] * 50, 200))
    assert html[:4] == SPECIALS
    assert not [piece for piece in html[4:] if piece.startswith("<") and piece.endswith(">")]


def test_no_word_is_merged_with_a_punctuation_mark() -> None:
    assert not [piece for piece in PIECES[4:] if piece[-1] in ",.!" and len(piece.strip("\u2581")) > 1]


def test_pieces_are_cut_to_fit_with_the_end_and_filled_up() -> None:
    long, short = encode(TOKENIZER, [TEXTS[0], "A man"], 6)
    assert (long.dtype, long.tolist().index(END)) == (np.int64, 5)
    place = short.tolist().index(END)
    assert place < 5
    assert set(short[place + 1 :].tolist()) == {PAD}
    np.testing.assert_array_equal(long[:5], encode(TOKENIZER, [TEXTS[0]], 100)[0, :5])


def test_a_character_that_was_not_learned_is_unknown_and_is_no_text() -> None:
    row = encode(TOKENIZER, ["A \u6f22 man"], 20)[0]
    assert UNKNOWN in row
    assert "\u6f22" not in decode(row, PIECES)


def test_no_more_pieces_than_asked_for_and_fewer_where_there_is_less_to_learn() -> None:
    assert len(vocabulary(learn(TEXTS, 80))) == 80
    assert len(vocabulary(learn(TEXTS, 10_000))) < 1_000


def test_another_process_with_other_hashes_and_threads_learns_the_same() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from models.data._subwords import learn, vocabulary\n"
        "texts = ['word%d und noch %d mehr' % (i % 97, i % 31) for i in range(5000)]\n"
        "print(ascii(vocabulary(learn(texts, 400))))"
    )
    said = set()
    for seed, parallel in (("1", "false"), ("2", "true")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TOKENIZERS_PARALLELISM": parallel}
        command = [sys.executable, "-c", code, str(ROOT)]
        said.add(subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout)
    assert len(said) == 1
