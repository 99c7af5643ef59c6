"""Chains of binary layers in OpenVINO: its own BinaryConvolution, whose weights are bits in the file.

Between two of them stands a FakeQuantize of two levels, which makes a bit of each sum by comparing it with its channel's limit;
the CPU plugin then does it inside of the convolution before it, whose sums are never stored. What the plugin cannot do rightly
is written so that it need not: channels are filled up to whole bytes, and rarer borders are made of numbers whose part in the
sums is known and taken off again. So each sum is the chain's own, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core import Array
from pipeline.export._onnx_packed import DOMAIN, FILE, NAME
from targets.kernels.layer import Shape, unpack
from targets.kernels.network import Bits, Floats, Pool, Sign, Stage, read

if TYPE_CHECKING:
    import onnx

PLACE = "place"
"""The attribute that stands for a packed file while the graph is read: one of bytes cannot be asked for."""


def extension(proto: onnx.ModelProto) -> Any:
    """What reads the packed operators of a graph, which takes their files from it."""
    from onnx import helper
    from openvino.frontend.onnx import ConversionExtension

    networks = list[list[Stage]]()
    for node in proto.graph.node:
        if (node.domain, node.op_type) == (DOMAIN, NAME):
            (file,) = (each.s for each in node.attribute if each.name == FILE)
            node.ClearField("attribute")
            node.attribute.append(helper.make_attribute(PLACE, len(networks)))
            networks.append(read(file))

    def convert(node: Any) -> list[Any]:
        return [unpacked(node.get_input(0), networks[node.get_attribute(PLACE)]).output(0)]

    return ConversionExtension(NAME, DOMAIN, convert)


@dataclass(frozen=True)
class _Signs:
    """Numbers [N, C, H, W], and which bits they are to become: 1 above the limit, where turned 0."""

    value: Any
    limit: Array
    """float32 [C]."""
    turned: Array
    """bool [C]."""


def unpacked(x: Any, stages: Sequence[Stage]) -> Any:
    """The node that computes what the packed network does of floats [N, C, H, W]."""
    from openvino import opset13

    signs = _Signs(x, np.empty(0), np.empty(0))
    for stage in stages:
        match stage:
            case Sign():
                # At least t is more than the float below t; a falling channel's bit is 1 up to t.
                with np.errstate(over="ignore"):  # below the lowest is -infinity
                    below = np.nextafter(stage.thresholds, np.float32(-np.inf))
                signs = _Signs(x, np.where(stage.falling, stage.thresholds, below), stage.falling)
            case Bits():
                sums, added = _sums(signs, stage.shape, stage.weights)
                limits = stage.thresholds - np.float32(0.5)  # sums are whole numbers: none lies on a limit
                signs = _limited(sums, limits.reshape(-1, 1, 1) if limits.ndim == 1 else limits.transpose(2, 0, 1), added)
            case Pool():
                # The largest sum is above the limit where any is.
                pool = opset13.max_pool(
                    signs.value, stage.stride, [1, 1], stage.pad, stage.pad, stage.kernel, "floor", index_element_type="i64"
                )
                signs = replace(signs, value=pool.output(0))
            case Floats():
                sums, added = _sums(signs, stage.shape, stage.weights)
                sums = opset13.subtract(sums, _constant(added[None])) if added.any() else sums
                scale, offset = (_constant(each.reshape(1, -1, 1, 1)) for each in (stage.scale, stage.offset))
                return opset13.add(opset13.multiply(sums, scale), offset)
    raise ValueError("a packed network ends with floats")


def _limited(sums: Any, limits: Array, added: Array) -> _Signs:
    """Sums with limits [C, H, W] or [C, 1, 1], both of them higher by what was added; limits that differ are taken off before."""
    from openvino import opset13

    limits = np.broadcast_to(limits + added, np.broadcast_shapes(limits.shape, added.shape)).astype(np.float32)
    none = np.zeros(len(limits), bool)
    if (limits == limits[:, :1, :1]).all():
        return _Signs(sums, limits[:, 0, 0], none)
    return _Signs(opset13.subtract(sums, _constant(limits[None])), np.zeros(len(limits), np.float32), none)


def _sums(signs: _Signs, shape: Shape, weights: Array) -> tuple[Any, Array]:
    """The layer's sums, and what they are too high by: [outputs, 1, 1] or [outputs, H', W']."""
    from openvino import opset13

    taps = unpack(weights, shape.channels // shape.groups)
    if shape.groups == 1:
        return _convolved(signs, shape, taps)
    parts = opset13.split(signs.value, _constant(np.int64(1)), shape.groups).outputs()
    rest = (np.split(each, shape.groups) for each in (signs.limit, signs.turned, taps))
    one = replace(shape, channels=shape.channels // shape.groups, outputs=shape.outputs // shape.groups, groups=1)
    made = [_convolved(_Signs(*part), one, mine) for *part, mine in zip(parts, *rest, strict=True)]
    sums, added = zip(*made, strict=True)
    return opset13.concat(list(sums), 1), np.concatenate(np.broadcast_arrays(*added))


def _convolved(signs: _Signs, shape: Shape, taps: Array) -> tuple[Any, Array]:
    """Of all channels at once; taps: +-1 [outputs, height, width, channels]."""
    from openvino import opset13
    from torch import from_numpy
    from torch.nn.functional import conv2d

    more = -shape.channels % 8  # the plugin's bits of a pixel are whole bytes
    border, pad = ((0, 0), shape.pad) if _leaves_out(shape) else (shape.pad, (0, 0))
    limit = np.concatenate([signs.limit, np.full(more, np.inf, np.float32)])
    turned = np.concatenate([signs.turned, np.zeros(more, bool)])
    value = signs.value
    if more or any(border):
        ends = [_constant(np.array([0, channels, *border])) for channels in (0, more)]
        value = opset13.pad(value, *ends, "constant", _constant(np.float32(0)))
    fill = np.where(np.arange(more) % 2, -1, 1)  # two by two their parts in the sums cancel
    kernel = np.concatenate([taps, np.broadcast_to(fill, (*taps.shape[:3], more))], axis=3).transpose(0, 3, 1, 2)
    sums = _binary_convolution(_bits(value, limit, turned), kernel, shape.stride, pad)
    known = np.empty((len(limit), shape.height + 2 * border[0], shape.width + 2 * border[1]), np.float32)
    known[:] = np.where((limit < 0) ^ turned, 1, -1).reshape(-1, 1, 1)  # what zeros become
    known[: shape.channels, border[0] : border[0] + shape.height, border[1] : border[1] + shape.width] = 0
    added = conv2d(from_numpy(known)[None], from_numpy(kernel.astype(np.float32)), None, shape.stride, pad)[0].numpy()
    return sums, added[:, :1, :1] if (added == added[:, :1, :1]).all() else added


def _leaves_out(shape: Shape) -> bool:
    """Whether the plugin gives right sums where beyond the edge counts 0, whatever instructions it has.

    It refuses a padding of more than 2 with AVX2, and a large one of wide kernels; its sums of wide kernels with strides of 3 and
    more are wrong, silently.
    """
    wide = shape.kernel[1] > 7 and shape.stride != (1, 1)
    return shape.pad == (0, 0) or (shape.pad[1] <= min(2, shape.output[1]) and shape.stride[1] <= 2 and not wide)


def _bits(value: Any, limit: Array, turned: Array) -> Any:
    """1 where a channel's number is above its limit; where it is turned, 0."""
    from openvino import opset13

    # Each input has a constant of its own: the plugin does this inside of a convolution only if nothing else reads them.
    ends = [_constant(each.astype(np.float32).reshape(1, -1, 1, 1)) for each in (limit, limit, turned, ~turned)]
    return opset13.fake_quantize(value, *ends, 2)


def _binary_convolution(bits: Any, kernel: Array, stride: tuple[int, int], pad: tuple[int, int]) -> Any:
    """kernel: +-1 [outputs, channels, height, width]. In the plugin a `pad_value` of 0 leaves the padding out."""
    from openvino import Tensor, Type, opset1, opset13

    tensor = Tensor(Type.u1, list(kernel.shape))  # one made of an array would share its memory, and outlive it
    tensor.data.reshape(-1).view(np.uint8)[:] = np.packbits(kernel.reshape(-1) > 0, bitorder="little")
    weights = opset13.constant(tensor)
    beyond = 0.0 if any(pad) else -1.0
    return opset1.binary_convolution(bits, weights, stride, pad, pad, [1, 1], "xnor-popcount", beyond)


def _constant(array: Array | np.generic) -> Any:
    from openvino import opset13

    return opset13.constant(np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array)
