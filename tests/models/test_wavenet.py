"""WaveNet: a sample at a time or all at once, it says the same, and it hears only what was before."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch

from models.wavenet import Network, WaveNet
from pipeline.core import Domain, TensorSpec
from pipeline.errors import UserError

DOMAIN = Domain("sounds", {"codes": TensorSpec((1, 64), "int64")}, classes=3, targets={"start": TensorSpec((1,), "int64")})
FAMILY = WaveNet(dilations=(1, 2, 4, 8), channels=6, skip=10)
REACH = 1 + sum(FAMILY.dilations)
CLOSE = 1e-5
"""Float32 sums in another order, of logits around 1."""


@pytest.fixture
def network() -> Network:
    """Untrained, but with weights large enough for everything to be heard."""
    torch.manual_seed(0)
    module = FAMILY.build(DOMAIN)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return cast(Network, module)


def sounds(count: int, length: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, length), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize("known", [0, 5, 32])
def test_steps_go_on_where_a_prefill_ends(network: Network, known: int) -> None:
    """With nothing read before (known = 0), the queues are empty: zeros."""
    codes, label = sounds(2, 50), torch.tensor([2, 0])
    graphs = FAMILY.graphs(network, DOMAIN)
    whole, _ = graphs["prefill"].module(codes, label)
    queues = [torch.zeros(2, dilation, 6) for dilation in FAMILY.dilations]
    if known:
        queues = list(graphs["prefill"].module(codes[:, :known], label)[1].split(FAMILY.dilations, dim=1))
    for place in range(known, 50):
        logits, present = graphs["step"].module(codes[:, place], label, torch.stack([queue[:, 0] for queue in queues], dim=1))
        torch.testing.assert_close(logits, whole[:, place], rtol=CLOSE, atol=CLOSE)
        queues = [torch.cat([queue[:, 1:], new[:, None]], dim=1) for queue, new in zip(queues, present.unbind(1), strict=True)]


@torch.no_grad()
def test_it_hears_as_far_back_as_its_dilations_sum_up_to_and_nothing_to_come(network: Network) -> None:
    codes, label, changed = sounds(1, 50), torch.tensor([1]), 20
    other = codes.clone()
    other[:, changed] = (other[:, changed] + 100) % 256
    different = (network(codes, label) - network(other, label)).abs().amax(dim=(0, 2)) > 0
    np.testing.assert_array_equal(np.flatnonzero(different.numpy()), np.arange(changed, changed + REACH))


@torch.no_grad()
def test_it_is_told_what_to_say(network: Network) -> None:
    codes = sounds(1, 10).expand(2, -1)
    first, second = network(codes, torch.tensor([0, 2]))
    assert (first - second).abs().amax(dim=1).min() > 0.01


def test_it_learns_each_code_from_those_before_it(network: Network) -> None:
    codes, label = sounds(2, 64), torch.tensor([0, 1])
    batch = {"codes": codes, "label": label, "start": torch.tensor([0, 40])}
    outputs = FAMILY.forward(network, batch)
    after_nothing = network(torch.full((1, 1), 128), label[:1])
    torch.testing.assert_close(outputs["logits"][:1, :1], after_nothing)
    other = codes.clone()
    other[:, 30:] = 0
    unchanged = FAMILY.forward(network, {**batch, "codes": other})["logits"][:, :31]
    torch.testing.assert_close(outputs["logits"][:, :31], unchanged)


def test_the_silence_before_a_sound_is_not_learnt(network: Network) -> None:
    batch = {"codes": sounds(2, 64), "label": torch.tensor([0, 1]), "start": torch.tensor([0, 40])}
    outputs = FAMILY.forward(network, batch)
    judged = torch.cat([outputs["logits"][0], outputs["logits"][1, 40:]])
    wanted = torch.cat([batch["codes"][0], batch["codes"][1, 40:]])
    torch.testing.assert_close(FAMILY.loss(outputs, batch), torch.nn.functional.cross_entropy(judged, wanted))


def test_what_is_no_labelled_sound_is_refused() -> None:
    with pytest.raises(UserError, match="wavenet: words has no labelled sounds"):
        WaveNet().build(
            Domain("words", {"tokens": TensorSpec((1, 5), "int64")}, classes=3, targets={"start": TensorSpec((1,), "int64")})
        )
    with pytest.raises(UserError, match="wavenet: hums has no labelled sounds"):
        WaveNet().build(Domain("hums", {"codes": TensorSpec((1, 5), "int64")}))
