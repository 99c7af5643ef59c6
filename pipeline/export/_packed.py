"""Chains of binary layers as packed networks: what stands between two of them becomes whole-number thresholds of bits.

A layer's sum d is a whole number, and all between it and the next layer's signs (scale, offset, ReLU, pooling, BatchNorm) goes
up or down with it: so each bit is d >= t, perhaps turned over. The t are found by asking the modules themselves, number by
number in a bisection, and so they are those of float32 arithmetic as it is done there, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from pipeline.compress._binary import Binary, BinaryConv2d, sign
from pipeline.core import Array, Unsupported
from targets.kernels.layer import Shape, pack
from targets.kernels.network import Bits, Floats, Pool, Sign, Stage

BETWEEN = (nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Identity, nn.Dropout, nn.BatchNorm1d, nn.BatchNorm2d, nn.MaxPool2d, nn.Flatten)
"""What may stand between two binary layers of a chain: each goes up or down with what it is given."""

Size = tuple[int, int, int]
Apply = Callable[[torch.Tensor], torch.Tensor]


def stages(chain: Sequence[nn.Module], size: Size) -> list[Stage]:
    """The packed network of a chain that begins and ends with a binary layer; size: channels, height and width that it takes."""
    places = [place for place, module in enumerate(chain) if isinstance(module, Binary)]
    if not places or places[0] != 0 or places[-1] != len(chain) - 1:
        raise ValueError("a chain begins and ends with a binary layer")
    with torch.no_grad():
        first = _binary(chain[0])
        found: list[Stage] = [_signs(first, size)]
        taken = np.ones(size)
        for here, there in pairwise(places):
            made, taken = _between(_binary(chain[here]), chain[here + 1 : there], _binary(chain[there]), taken)
            found += made
        last = _binary(chain[-1])
        shape = _shape(last, _size(taken))
        weights = pack(_taps(last, shape, taken))
        return [*found, Floats(shape, weights, last.scale.detach().numpy(), last.bias.detach().numpy())]


def _binary(module: nn.Module) -> Binary:
    assert isinstance(module, Binary)
    return module


def _shape(layer: Binary, size: Size) -> Shape:
    """Of a linear layer: a kernel as large as what it takes."""
    if isinstance(layer, BinaryConv2d):
        outputs, _, high, wide = layer.weight.shape
        return Shape(*size, outputs, (high, wide), layer.stride, layer.pad, layer.groups)
    return Shape(*size, layer.weight.shape[0], kernel=size[1:])


def _size(image: Array) -> Size:
    channels, height, width = image.shape
    return channels, height, width


def _taps(layer: Binary, shape: Shape, taken: Array) -> Array:
    """+-1 [outputs, height, width, channels of a group], for bits that stand for `taken` [C, H, W] times themselves.

    A linear layer's inputs are a flattened image's; a convolution's have one sign a channel.
    """
    signs = sign(layer.weight.detach()).view(shape.outputs, -1, *shape.kernel).permute(0, 2, 3, 1).numpy()
    if shape.kernel == taken.shape[1:] and shape.groups == 1:
        return signs * taken.transpose(1, 2, 0)
    if (taken != taken[:, :1, :1]).any():
        raise Unsupported("a convolution follows bits whose thresholds rise in some pixels of a channel and fall in others")
    channels = taken[:, 0, 0].reshape(shape.groups, 1, 1, 1, -1).repeat(shape.outputs // shape.groups, axis=0)
    return signs * channels.reshape(shape.outputs, 1, 1, -1)


def _signs(layer: Binary, size: Size) -> Sign:
    """From which float on, or up to which, the first norm's output is at least 0."""
    features = layer.norm.num_features

    def over(x: torch.Tensor) -> torch.Tensor:
        return layer.normed(x[None])[0] >= 0

    largest = np.finfo(np.float32).max  # an infinity times a weight of 0 would be no number
    low, high = (_ordered(np.full(features, end, np.float32)) for end in (-largest, largest))
    falling, edge = _edge(over, low, high, _float)
    # A falling channel's bit is 1 before its edge, up to the float below it.
    thresholds = _float(np.where(falling, edge - 1, edge)).numpy()
    return Sign(size, thresholds, falling)


def _between(layer: Binary, modules: Sequence[nn.Module], following: Binary, taken: Array) -> tuple[list[Stage], Array]:
    """The stages from a layer's bits to those that the following one reads; of these, [C, H, W], which stand for their opposite
    (-1) because a threshold falls where it should rise: the following layer's weights make up for it.
    """
    pools = [place for place, module in enumerate(modules) if isinstance(module, nn.MaxPool2d)]
    if len(pools) > 1:
        raise Unsupported("between two binary layers of a chain one pool may stand, not several")
    here = pools[0] if pools else len(modules)
    before, behind = (nn.Sequential(*part) for part in (modules[:here], modules[here + 1 :]))
    shape = _shape(layer, _size(taken))
    wide = narrow = (shape.outputs, *shape.output)
    pool = _pool(modules[here], wide) if pools else None
    if pool:
        narrow = (shape.outputs, *_windows(pool))

    def value(sums: torch.Tensor) -> torch.Tensor:
        x = sums[None] * layer.scale[:, None, None] + layer.bias[:, None, None]
        given: torch.Tensor = before(x if isinstance(layer, BinaryConv2d) else x.flatten(1))
        return given

    most = shape.channels // shape.groups * shape.kernel[0] * shape.kernel[1]
    low, high = (value(torch.full((shape.outputs, 1, 1), float(end))) for end in (-most, most))
    down = (low > high).flatten()  # these channels' weights are turned: then what is pooled rises in all
    side = torch.where(down, -1.0, 1.0)[:, None, None]

    def over(sums: torch.Tensor) -> torch.Tensor:
        x = behind(value(sums * side))
        return (following.normed(x) >= 0).view(sums.shape)

    falling, edge = _edge(over, np.full(narrow, -most), np.full(narrow, most), lambda numbers: torch.from_numpy(numbers).float())
    taps = _taps(layer, shape, taken) * np.where(down, -1, 1)[:, None, None, None]
    made: list[Stage] = [Bits(shape, pack(taps), _spread(edge, pool, wide))]
    made += [pool] if pool else []
    return made, np.where(falling, -1, 1)


def _pool(module: nn.Module, size: Size) -> Pool:
    def two(given: int | tuple[int, ...]) -> tuple[int, int]:
        return (given, given) if isinstance(given, int) else (given[0], given[1])

    assert isinstance(module, nn.MaxPool2d)
    if two(module.dilation) != (1, 1) or module.ceil_mode or module.return_indices:
        raise Unsupported("a pool between binary layers must be plain: no dilation, no ceil_mode")
    return Pool(size, two(module.kernel_size), two(module.stride), two(module.padding))


def _windows(pool: Pool) -> tuple[int, int]:
    """Height and width of what comes out."""
    sides = zip(pool.size[1:], pool.kernel, pool.stride, pool.pad, strict=True)
    high, wide = ((side + 2 * pad - kernel) // stride + 1 for side, kernel, stride, pad in sides)
    return high, wide


def _spread(edge: Array, pool: Pool | None, wide: Size) -> Array:
    """Thresholds [C, H, W] of what a layer's pixels are pooled to -> int32 [outputs], or of its pixels [H', W', outputs]."""
    if (edge == edge[:, :1, :1]).all():
        return edge[:, 0, 0].astype(np.int32)
    if pool:
        if pool.kernel != pool.stride or pool.pad != (0, 0):
            raise Unsupported("a pool whose windows overlap stands before thresholds that differ from pixel to pixel")
        edge = edge.repeat(pool.kernel[0], axis=1).repeat(pool.kernel[1], axis=2)
        missing = [(0, side - has) for side, has in zip(wide, edge.shape, strict=True)]
        edge = np.pad(edge, missing)  # pixels that no window takes have no say
    return np.ascontiguousarray(edge.transpose(1, 2, 0)).astype(np.int32)


def _edge(over: Apply, low: Array, high: Array, number: Callable[[Array], torch.Tensor]) -> tuple[Array, Array]:
    """Where a rising or falling yes-or-no function of whole numbers [...] changes: whether it falls, and the first number after.

    A function that is always true has its edge at the lowest number, one that never is behind the highest.
    """
    first, last = (over(number(end)).numpy() for end in (low, high))
    falling = first & ~last
    below, above = low.copy(), high.copy()  # at `below` it is as at the lowest, at `above` as at the highest
    while (above - below > 1).any():
        middle = (below + above) // 2
        changed = over(number(middle)).numpy() != falling
        above, below = np.where(changed, middle, above), np.where(changed, below, middle)
    edge = np.where(first & last, low, np.where(~first & ~last, high + 1, above))
    return falling, edge


def _ordered(floats: Array) -> Array:
    """float32 as whole numbers in the same order."""
    bits = floats.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _float(numbers: Array) -> torch.Tensor:
    """And back; -0.0 is not among them, which is equal to 0.0. Behind the largest comes infinity."""
    size = np.abs(numbers)
    found = size.astype(np.uint32).view(np.float32)
    return torch.from_numpy(np.where(numbers < 0, -found, found).astype(np.float32))
