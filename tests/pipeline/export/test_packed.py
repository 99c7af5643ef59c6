"""Chains of binary layers, packed: the same numbers as torch's, to the last bit, in every instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pipeline.compress._binary import Binary, binarized
from pipeline.core import Unsupported
from pipeline.export._chains import Packed, packed
from pipeline.export._packed import stages
from targets.kernels.layer import instruction_sets
from targets.kernels.network import Bits, Floats, Network, Pool, Sign, write

MAKERS = {
    "relu": lambda channels: nn.ReLU(),
    "norm": lambda channels: nn.BatchNorm2d(channels),
    "dropout": lambda channels: nn.Dropout(),
}


def trained(chain: nn.Sequential, seed: int) -> nn.Sequential:
    """With numbers as a training may leave them: norms and scales of both signs, and some of none."""
    torch.manual_seed(seed)
    for module in chain.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 3)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            module.weight.data[0] = 0
        if isinstance(module, Binary):
            nn.init.normal_(module.scale)
            nn.init.normal_(module.bias)
            module.scale.data[-1] = 0
    return chain.eval()


@st.composite
def chains(draw: Any) -> tuple[nn.Sequential, tuple[int, int, int]]:
    """Convolutions with what may stand between them, and perhaps linear layers at the end."""
    estimator = "sign"
    size = channels, high, wide = draw(st.integers(1, 40)), draw(st.integers(6, 14)), draw(st.integers(6, 14))
    parts: list[nn.Module] = []

    def between() -> list[nn.Module]:
        return [MAKERS[name](channels) for name in draw(st.lists(st.sampled_from(sorted(MAKERS)), max_size=2))]

    for _ in range(draw(st.integers(1, 3))):
        outputs, stride = draw(st.integers(1, 70)), draw(st.integers(1, 2))
        layer = nn.Conv2d(channels, outputs, 3, stride, padding=draw(st.integers(0, 2)))
        high, wide = ((side + 2 * layer.padding[0] - 3) // stride + 1 for side in (high, wide))  # type: ignore[operator]
        parts, channels = [*parts, binarized(layer, estimator)], outputs
        parts += between()
        if high >= 2 and wide >= 2 and draw(st.booleans()):
            parts, high, wide = [*parts, nn.MaxPool2d(2)], high // 2, wide // 2
            parts += between()
        if min(high, wide) < 3:
            break
    parts += [nn.Flatten(), binarized(nn.Linear(channels * high * wide, 12), estimator), nn.ReLU()]
    parts += [nn.BatchNorm1d(12)] if draw(st.booleans()) else []
    return nn.Sequential(*parts, binarized(nn.Linear(12, 5), estimator)), size


@given(made=chains(), seed=st.integers(0, 2**32 - 1))
def test_a_packed_chain_gives_what_torch_gives(made: tuple[nn.Sequential, tuple[int, int, int]], seed: int) -> None:
    chain, size = made
    trained(chain, seed)
    x = torch.randn(3, *size)
    with torch.no_grad():
        expected = chain(x).numpy()
    packed = write(stages(list(chain), size))
    for name in instruction_sets():
        found = Network(packed, name)(x.numpy())
        np.testing.assert_array_equal(found.reshape(expected.shape), expected)


def test_first_thresholds_are_exact_to_the_neighbouring_float() -> None:
    layer = trained(nn.Sequential(binarized(nn.Linear(50, 4), "sign")), 1)
    (first, _) = stages(list(layer), (50, 1, 1))
    assert isinstance(first, Sign)
    edges = np.stack([np.nextafter(first.thresholds, np.float32(side)) for side in (-1e30, 1e30)] + [first.thresholds])
    edges[~np.isfinite(edges)] = 0  # the threshold of a feature that is always -1
    with torch.no_grad():
        expected = layer(torch.from_numpy(edges)).numpy()
    network = Network(write(stages(list(layer), (50, 1, 1))))
    np.testing.assert_array_equal(network(edges.reshape(3, 50, 1, 1)).reshape(3, 4), expected)


def test_what_cannot_be_packed_says_why() -> None:
    conv, linear = (lambda n: binarized(nn.Conv2d(n, 4, 3, padding=1), "sign")), binarized(nn.Linear(4, 2), "sign")
    overlapping = [conv(2), nn.MaxPool2d(3, 2), nn.Flatten(), binarized(nn.Linear(4 * 3 * 3, 2), "sign")]
    with pytest.raises(Unsupported, match="windows overlap"):
        stages(list(trained(nn.Sequential(*overlapping), 0)), (2, 8, 8))
    with pytest.raises(Unsupported, match="one pool may stand, not several"):
        stages(list(trained(nn.Sequential(conv(2), nn.MaxPool2d(2), nn.MaxPool2d(2), conv(4)), 0)), (2, 8, 8))
    with pytest.raises(Unsupported, match="must be plain"):
        stages(list(trained(nn.Sequential(conv(2), nn.MaxPool2d(2, ceil_mode=True), conv(4)), 0)), (2, 8, 8))
    with pytest.raises(ValueError, match="begins and ends"):
        stages([nn.ReLU(), linear], (4, 1, 1))


def test_a_packed_chain_is_bits_in_between() -> None:
    convolutions = [binarized(nn.Conv2d(*sides, 3, padding=1), "sign") for sides in ((8, 16), (16, 16), (16, 8))]
    chain = trained(
        nn.Sequential(convolutions[0], nn.ReLU(), nn.MaxPool2d(2), convolutions[1], nn.BatchNorm2d(16), convolutions[2]), 3
    )
    found = stages(list(chain), (8, 8, 8))
    assert [type(each) for each in found] == [Sign, Bits, Pool, Bits, Floats]
    weights = sum(each.weights.nbytes for each in found if isinstance(each, Bits | Floats))
    assert weights * 32 == sum(each.weight.numel() * 4 for each in convolutions)


class Untraceable(nn.Module):
    """Goes other ways for other numbers, as no trace can."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = sixteen(), sixteen()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)) if x.sum() > -1e9 else x


def sixteen() -> nn.Module:
    layer = binarized(nn.Linear(16, 16), "sign").eval()
    with torch.no_grad():
        layer.norm.running_mean.normal_()
        layer.norm.bias.normal_()
    return layer


def test_layers_of_what_cannot_be_traced_are_packed_one_by_one() -> None:
    whole, x = Untraceable().eval(), torch.randn(4, 16)
    found = packed(whole, (x,))
    assert [type(layer) for layer in found.children()] == [Packed, Packed]
    assert [type(layer) for layer in whole.children()] != [Packed, Packed], "the module itself is not changed"
    torch.testing.assert_close(found(x), whole(x))


def test_layers_inside_of_torchs_own_modules_are_packed() -> None:
    block = nn.TransformerEncoderLayer(16, 2, 16, activation=nn.functional.silu, batch_first=True)
    block.linear1 = sixteen()
    whole, x = nn.Sequential(block).eval(), torch.randn(2, 3, 16)
    found = packed(whole, (x,))
    assert isinstance(found.get_submodule("0.linear1"), Packed)
    torch.testing.assert_close(found(x), whole(x))


def test_features_of_an_image_are_no_channels() -> None:
    whole, x = nn.Sequential(sixteen()).eval(), torch.randn(2, 3, 5, 16)
    torch.testing.assert_close(packed(whole, (x,))(x), whole(x))
