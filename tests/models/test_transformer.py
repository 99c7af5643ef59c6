"""The transformers: one symbol at a time, a prompt at once or everything together, the answers are the same."""

from __future__ import annotations

from typing import cast

import pytest
import torch

from models._rotary import Rotation
from models.data._subwords import END, PAD, START
from models.transformer_decoder import Decoder, TransformerDecoder
from models.transformer_seq2seq import Seq2Seq, TransformerSeq2Seq
from pipeline.core import Domain, Family, TensorSpec
from pipeline.errors import UserError

T, S, L, V = 12, 9, 7, 31
TEXT = Domain("text", {"tokens": TensorSpec((1, T + 1), "int64")}, V, vocabulary=tuple(map(chr, range(97, 97 + V))))
PAIRS = Domain("pairs", {"source": TensorSpec((1, S), "int64")}, V, {"target": TensorSpec((1, L), "int64")})
LANGUAGE, TRANSLATION = TransformerDecoder(layers=2, heads=2, width=16), TransformerSeq2Seq(layers=2, heads=2, width=16)
CLOSE = 1e-5
"""Float32 sums in another order, of logits around 1."""


def built(family: Family, domain: Domain) -> torch.nn.Module:
    """Untrained, but with weights large enough for attention to differ between positions."""
    torch.manual_seed(0)
    module = family.build(domain).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


@pytest.fixture
def decoder() -> Decoder:
    return cast(Decoder, built(LANGUAGE, TEXT))


@pytest.fixture
def seq2seq() -> Seq2Seq:
    return cast(Seq2Seq, built(TRANSLATION, PAIRS))


def tokens(*shape: int) -> torch.Tensor:
    return torch.randint(4, V, shape, generator=torch.Generator().manual_seed(1))


def steps(step: torch.nn.Module, text: torch.Tensor, start: int, cache: torch.Tensor, *constant: torch.Tensor) -> torch.Tensor:
    """Logits [N, places, V] of text [N, places] read symbol by symbol from position `start`; fills cache [2, N, ...]."""
    found = []
    for place in range(text.shape[1]):
        position = torch.full((len(text),), start + place)
        logits, *new = step(text[:, place], position, *cache, *constant)
        for kept, made in zip(cache, new, strict=True):
            kept[:, :, :, start + place] = made
        found.append(logits)
    return torch.stack(found, dim=1)


@torch.no_grad()
@pytest.mark.parametrize("prompt", [0, 1, T // 2])
def test_a_text_read_at_once_or_by_prompt_and_steps_is_the_same(decoder: Decoder, prompt: int) -> None:
    text, graphs = tokens(3, T), LANGUAGE.graphs(decoder, TEXT)
    # Whatever lies in the cache at and after a position must not matter.
    cache = torch.full((2, 3, *graphs["step"].inputs["keys"].shape[1:]), 1e3)
    padded = torch.zeros(3, T // 2, dtype=torch.int64)
    padded[:, :prompt] = text[:, :prompt]
    logits, keys, values = graphs["prefill"].module(padded)
    cache[:, :, :, :, :prompt] = torch.stack((keys, values))[:, :, :, :, :prompt]
    stepped = steps(graphs["step"].module, text[:, prompt:], prompt, cache)
    torch.testing.assert_close(torch.cat((logits[:, :prompt], stepped), dim=1), decoder(text), atol=CLOSE, rtol=CLOSE)


@torch.no_grad()
def test_a_translation_read_at_once_or_by_steps_is_the_same(seq2seq: Seq2Seq) -> None:
    source, target, graphs = tokens(3, S), tokens(3, L), TRANSLATION.graphs(seq2seq, PAIRS)
    source[1, 4:] = PAD
    cache = torch.full((2, 3, *graphs["step"].inputs["keys"].shape[1:]), 1e3)
    before = torch.cat((torch.full((3, 1), START), target[:, :-1]), dim=1)
    stepped = steps(graphs["step"].module, before, 0, cache, source, *graphs["encoder"].module(source))
    together, wanted = seq2seq(source, target)
    torch.testing.assert_close(stepped.flatten(0, 1), together, atol=CLOSE, rtol=CLOSE)
    assert torch.equal(wanted, target.flatten())


@torch.no_grad()
def test_no_symbol_knows_what_follows_it(decoder: Decoder, seq2seq: Seq2Seq) -> None:
    text, other = tokens(1, T), tokens(1, T)
    other[0, 5] += 1
    same = (decoder(text) - decoder(other)).abs().amax(dim=(0, 2)) < CLOSE
    assert same.tolist() == [place < 5 for place in range(T)]
    source, target, changed = tokens(1, S), tokens(1, L), tokens(1, L)
    changed[0, 3] += 1
    same = (seq2seq(source, target)[0] - seq2seq(source, changed)[0]).abs().amax(dim=1) < CLOSE
    assert same.tolist() == [place <= 3 for place in range(L)]  # a symbol is read by those after it


@torch.no_grad()
def test_padding_changes_nothing(seq2seq: Seq2Seq) -> None:
    source, target = tokens(2, S), tokens(2, L)
    source[:, 5:] = PAD
    target[:, 3:] = torch.tensor([END] + [PAD] * (L - 4))
    torch.testing.assert_close(seq2seq(source, target), seq2seq(source[:, :5], target[:, :4]), atol=CLOSE, rtol=CLOSE)


@torch.no_grad()
def test_training_in_groups_of_like_lengths_has_the_loss_of_the_whole_batch(seq2seq: Seq2Seq) -> None:
    source, target = tokens(9, S), tokens(9, L)
    for row in range(9):
        source[row, 1 + row :] = PAD
        target[row, 1 + (row * 5) % L :] = PAD
    batch = {"source": source, "target": target}
    grouped = TRANSLATION.loss(TRANSLATION.forward(seq2seq, batch), batch)
    logits, wanted = seq2seq(source, target)
    torch.testing.assert_close(grouped, TRANSLATION.loss({"logits": logits, "wanted": wanted}, batch))


@pytest.mark.parametrize(("family", "domain"), [(LANGUAGE, TEXT), (TRANSLATION, PAIRS)])
def test_it_learns_one_batch_by_heart(family: Family, domain: Domain) -> None:
    torch.manual_seed(0)
    module = family.build(domain)
    batch = {name: tokens(4, spec.shape[1]) for name, spec in {**domain.inputs, **domain.targets}.items()}
    optimizer = torch.optim.AdamW(module.parameters(), 1e-2)
    for _ in range(60):
        loss = family.loss(family.forward(module.train(), batch), batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    outputs = family.forward(module.eval(), batch)
    wanted = outputs.get("wanted", batch["tokens"][:, 1:] if "tokens" in batch else None)
    assert wanted is not None
    right = (outputs["logits"].argmax(dim=-1) == wanted).float().mean()
    assert right > 0.95


@pytest.mark.parametrize(
    ("family", "domain"),
    [(TransformerDecoder(width=30), TEXT), (TransformerSeq2Seq(width=30), PAIRS)],
    ids=["decoder", "seq2seq"],
)
def test_a_width_that_the_heads_cannot_share_is_refused(family: Family, domain: Domain) -> None:
    with pytest.raises(UserError, match=r"transformer_\w+: width = 30 is no multiple of heads = 4"):
        family.build(domain)


def test_an_odd_share_of_a_head_is_refused_where_positions_turn_pairs() -> None:
    with pytest.raises(UserError, match=r"transformer_decoder: width = 12 gives each of heads = 4 3 dimensions; .* even number"):
        TransformerDecoder(width=12).build(TEXT)


def test_what_a_query_and_a_key_have_in_common_depends_on_their_distance_alone() -> None:
    rotation, (query, key) = Rotation(64, 8), torch.randn(2, 1, 1, 1, 8)

    def score(place: int, other: int) -> torch.Tensor:
        turned = (rotation(x, torch.tensor([[at]])) for x, at in ((query, place), (key, other)))
        return torch.mul(*turned).sum()

    torch.testing.assert_close(score(7, 3), score(59, 55))
    torch.testing.assert_close(score(5, 5), (query * key).sum())
    assert not torch.isclose(score(7, 3), score(7, 4))
