"""Padding is no text: it changes nothing. Everything else does."""

from __future__ import annotations

import pytest
import torch

from models.transformer_encoder import TransformerEncoder
from pipeline.core import Domain, TensorSpec
from pipeline.errors import UserError
from pipeline.facts import measure

VOCABULARY = ("<pad>", "<start>", "<end>", "<unk>", *"abcdefgh")
DOMAIN = Domain("texts", {"tokens": TensorSpec((1, 12), "int64")}, 2, vocabulary=VOCABULARY)
ROUNDING = 1e-5
"""Of float32 sums over a padded row, whose order torch may choose by its length."""


def module() -> torch.nn.Module:
    torch.manual_seed(0)
    return TransformerEncoder(layers=2, width=16).build(DOMAIN).eval()


@pytest.mark.parametrize("gradient", [True, False], ids=["traced", "run"])
def test_padding_does_not_change_the_logits(gradient: bool) -> None:
    net, text = module(), torch.tensor([[5, 9, 4, 7, 2]])
    with torch.set_grad_enabled(gradient):
        short = net(text)
        for more in (1, 3, 7):
            padded = torch.nn.functional.pad(text, (0, more))
            torch.testing.assert_close(net(padded), short, atol=ROUNDING, rtol=0)


def test_words_and_their_order_change_the_logits() -> None:
    net = module()
    torch.nn.init.normal_(net.get_parameter("positions"), std=0.1)
    logits = net(torch.tensor([[5, 9, 4, 7, 2], [5, 9, 4, 6, 2], [9, 5, 4, 7, 2]]))
    assert torch.pdist(logits.detach()).min() > 100 * ROUNDING


def test_nothing_but_padding_still_gives_numbers() -> None:
    assert torch.isfinite(module()(torch.zeros(2, 12, dtype=torch.int64))).all()


def test_all_its_products_are_counted() -> None:
    """Torch's fused inference path would hide all but the head's."""
    family, length, width = TransformerEncoder(layers=1, width=16), 12, 16
    projections = (3 + 1 + 4 + 4) * length * width * width
    attention = 2 * length * length * width
    counted = measure(family.graphs(family.build(DOMAIN), DOMAIN)).macs
    assert projections + 2 * width <= counted <= projections + attention + 2 * width


def test_heads_share_the_embedding_evenly() -> None:
    with pytest.raises(UserError, match="width = 10 is no multiple of heads = 4"):
        TransformerEncoder(width=10).build(DOMAIN)
