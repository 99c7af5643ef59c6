"""A graph as C: each of torch's operators a call of a layer."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np
import torch
from torch import fx

from pipeline.core import Array, Unsupported
from pipeline.export._c_body import Body, Shape, Value
from pipeline.export._c_layers import BLOCK

FEW = 4
"""Outputs of a group, up to which lanes full of them would mostly be zeros: those of a depthwise convolution."""


Operator = Callable[["_Call"], Value]
OPERATORS: dict[str, Operator] = {}
PLAIN = {"_native_batch_norm_legit_no_training": "batch_norm", "_unsafe_view": "view", "edgepress::packed": "packed"}
"""What torch calls an operator once it has no side effects: what a person does."""


@dataclass(frozen=True)
class _Call:
    """An operator under way: its arguments by the names that torch has for them."""

    body: Body
    name: str
    given: dict[str, Any]
    shape: Shape
    reads: int
    """Of what it makes."""

    def made(self) -> Value:
        """Room for what it makes, beside what it reads."""
        return Value(self.shape, self.body.room(prod(self.shape), self.reads))

    def over(self, value: Value) -> Value:
        """Where it may write: over what it reads, if nobody else reads that."""
        if value.place is None or value.place.reads > 1:
            return self.made()
        value.place.reads += self.reads
        return Value(self.shape, value.place)

    def value(self, name: str) -> Value:
        """An argument that an operator has made, or the input. Unsupported for a constant."""
        found = self.given[name]
        if not isinstance(found, Value):
            raise Unsupported(f"a C file has {self.name} of what is computed only, and this one's {name} is a constant")
        return found

    def weights(self, name: str) -> Array | None:
        """A constant argument. Unsupported for what is computed."""
        found = self.given[name]
        if isinstance(found, Value):
            raise Unsupported(f"a C file has {self.name} with constant weights only, and this one's {name} is computed")
        return None if found is None else found.detach().numpy()

    def sides(self, name: str, default: tuple[int, int] = (1, 1)) -> tuple[int, int]:
        """Height and width; one number is both."""
        found = self.given[name]
        found = [found] if isinstance(found, int) else list(found)
        return default if not found else (found[0], found[-1])

    def one(self, value: Value, rank: int) -> Value:
        """A value whose last dimensions, so many, are a sample; Unsupported if there are several."""
        if prod(value.shape[:-rank]) != 1:
            raise self.refuse(f"of several samples at once ({list(value.shape)})")
        return value

    def refuse(self, what: str) -> Unsupported:
        """An error that names the operator."""
        return Unsupported(f"a C file has no {self.name} {what}")


def body(program: torch.export.ExportedProgram) -> tuple[Body, Value]:
    """The calls of a traced graph of one input and one output, and where its output lies. Unsupported with the operator."""
    found, values = Body(), dict[fx.Node, Any]()
    constants = _constants(program)
    for node in program.graph.nodes:
        if node.op == "placeholder":
            values[node] = constants[node.name] if node.name in constants else Value(tuple(node.meta["val"].shape), None)
        elif node.op == "call_function":
            values[node] = _lowered(found, node, values)
    ((output,),) = (node.args[0] for node in program.graph.nodes if node.op == "output")
    return found, values[output]


def _constants(program: torch.export.ExportedProgram) -> dict[str, torch.Tensor]:
    """Parameters, buffers and other tensors of the graph, by the names of their placeholders."""
    signature, tensors = program.graph_signature, {**program.state_dict, **program.constants}
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
    return {placeholder: tensors[name] for placeholder, name in names.items()}


def _lowered(to: Body, node: fx.Node, values: dict[fx.Node, Any]) -> Value:
    if node.target is operator.getitem:  # the first of what an operator makes is all that there is of it
        return cast(Value, values[node.all_input_nodes[0]])
    schema: Any = getattr(node.target, "_schema", None)
    name = schema.name.removeprefix("aten::") if schema else str(node.target)
    name = PLAIN.get(name, name)
    if name not in OPERATORS:
        raise Unsupported(f"a C file has no operator {name} (it has {', '.join(sorted(OPERATORS))})")
    made = node.meta["val"] if isinstance(node.meta["val"], torch.Tensor) else node.meta["val"][0]
    if made.dtype != torch.float32:
        raise Unsupported(f"a C file computes in float32, and {name} makes {str(made.dtype).removeprefix('torch.')}")
    given = {each.name: each.default_value for each in schema.arguments}
    given |= dict(zip(given, node.args, strict=False)) | node.kwargs
    given = {key: values[value] if isinstance(value, fx.Node) else value for key, value in given.items()}
    taken = [user for user in node.users if user.target is operator.getitem]
    reads = sum(len(user.users) for user in taken) if taken else len(node.users)
    result = OPERATORS[name](_Call(to, name, given, tuple(made.shape), reads))
    for each in node.all_input_nodes:
        if isinstance(values[each], Value):
            to.read(values[each].place)
    return result


def _operator(*names: str) -> Callable[[Operator], Operator]:
    def register(function: Operator) -> Operator:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return register


@_operator("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten", "dropout", "clone", "contiguous", "alias")
def _same(call: _Call) -> Value:
    """The same numbers in the same order."""
    value = call.value(next(iter(call.given)))
    if value.place:
        value.place.reads += call.reads
    return Value(call.shape, value.place)


@_operator("conv2d")
def _conv2d(call: _Call) -> Value:
    x, weight, bias = call.one(call.value("input"), 3), call.weights("weight"), call.weights("bias")
    assert weight is not None
    kernel, stride, dilation, groups = weight.shape[2:], call.sides("stride"), call.sides("dilation"), call.given["groups"]
    channels, outputs = weight.shape[1], len(weight) // groups
    wide = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if call.given["padding"] in ("same", "valid"):
        before = [size // 2 if call.given["padding"] == "same" else 0 for size in wide]
        around = wide if call.given["padding"] == "same" else [0, 0]
    else:
        before = list(call.sides("padding"))
        around = [2 * pad for pad in before]
    rows, columns = (side + more for side, more in zip(x.shape[-2:], around, strict=True))
    source, border = str(x), None
    if any(around):
        border = call.body.room(groups * channels * rows * columns, 1)
        source = f"memory + {border.offset}"
        call.body.call("bordered", x, source, groups * channels, x.shape[-2:], before, rows, columns)
    made = call.made()
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    few = outputs <= FEW
    arranged = weight if few else np.stack([_blocks(each.transpose(1, 2, 3, 0)) for each in np.split(weight, groups)])
    filled = bias if few else np.stack([_blocks(each) for each in np.split(bias, groups)])
    names = (call.body.constant(arranged), call.body.constant(filled))
    sizes = (groups, channels, outputs, rows, columns, kernel, stride, dilation, call.shape[-2:])
    call.body.call("conv2d_of_few" if few else "conv2d", source, made, *names, *sizes)
    call.body.read(border)
    return made


def _blocks(array: Array) -> Array:
    """[..., outputs] -> [outputs / BLOCK, ..., BLOCK], filled up with zeros."""
    more = -array.shape[-1] % BLOCK
    filled = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, more)])
    return np.moveaxis(filled.reshape(*array.shape[:-1], -1, BLOCK), -2, 0)


@_operator("linear")
def _linear(call: _Call) -> Value:
    x, weight, bias = call.value("input"), call.weights("weight"), call.weights("bias")
    assert weight is not None
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    names = (call.body.constant(_blocks(weight.T)), call.body.constant(_blocks(bias)))
    made = call.made()
    call.body.call("linear", x, made, *names, x.size // x.shape[-1], x.shape[-1], len(weight))
    return made


@_operator("batch_norm")
def _batch_norm(call: _Call) -> Value:
    x, mean, variance = (
        call.one(call.value("input"), len(call.shape) - 1),
        call.weights("running_mean"),
        call.weights("running_var"),
    )
    assert mean is not None and variance is not None
    weight, bias = call.weights("weight"), call.weights("bias")
    scale = (1 if weight is None else weight) / np.sqrt(variance + np.float32(call.given["eps"]))
    offset = (0 if bias is None else bias) - mean * scale
    made = call.over(x)
    names = (call.body.constant(scale), call.body.constant(offset))
    call.body.call("scaled", x, made, *names, x.shape[1], x.size // x.shape[1])
    return made


@_operator("relu", "relu6", "hardtanh", "clamp")
def _clamp(call: _Call) -> Value:
    x = call.value("self")
    low, high = {
        "relu": (0, None),
        "relu6": (0, 6),
        "hardtanh": (call.given.get("min_val"), call.given.get("max_val")),
        "clamp": (call.given.get("min"), call.given.get("max")),
    }[call.name]
    made = call.over(x)
    call.body.call("clamp", x, made, x.size, number(-np.inf if low is None else low), number(np.inf if high is None else high))
    return made


@_operator("add")
def _add(call: _Call) -> Value:
    a, b = call.value("self"), call.value("other")
    if a.shape != b.shape or call.given["alpha"] != 1:
        raise call.refuse(f"of different shapes or with a factor ({list(a.shape)}, {list(b.shape)})")
    made = call.over(a)
    call.body.call("add", a, b, made, a.size)
    return made


@_operator("max_pool2d", "avg_pool2d")
def _pool(call: _Call) -> Value:
    x = call.value("self")
    kernel = call.sides("kernel_size")
    windows = (kernel, call.sides("stride", kernel), call.sides("padding"))
    if call.name == "max_pool2d":
        more: tuple[Any, ...] = (call.sides("dilation"),)
    else:
        more = (int(call.given["count_include_pad"]), call.given["divisor_override"] or 0)
    made = call.made()
    call.body.call(call.name, x, made, prod(x.shape[:-2]), x.shape[-2:], *windows, *more, call.shape[-2:])
    return made


@_operator("adaptive_avg_pool2d")
def _adaptive(call: _Call) -> Value:
    x = call.value("self")
    made = call.made()
    call.body.call("adaptive_avg_pool2d", x, made, prod(x.shape[:-2]), x.shape[-2:], call.shape[-2:])
    return made


@_operator("mean")
def _mean(call: _Call) -> Value:
    x, dimensions = call.value("self"), call.given.get("dim")
    rank = len(x.shape)
    chosen = sorted(each % rank for each in (range(rank) if dimensions is None else dimensions))
    if chosen != list(range(rank - len(chosen), rank)):
        raise call.refuse(f"over dimensions {chosen} of {rank}, only over the last ones")
    made = call.made()
    inner = prod(x.shape[each] for each in chosen)
    call.body.call("adaptive_avg_pool2d", x, made, x.size // inner, 1, inner, 1, 1)
    return made


@_operator("softmax")
def _softmax(call: _Call) -> Value:
    x = call.value("self")
    place = call.given["dim"] % len(x.shape)
    made = call.over(x)
    call.body.call("softmax", x, made, prod(x.shape[:place]), x.shape[place], prod(x.shape[place + 1 :]))
    return made


@_operator("packed")
def _packed(call: _Call) -> Value:
    x, file = call.value("x"), call.weights("file")
    assert file is not None
    made = call.made()
    call.body.networks.append(file.tobytes())
    call.body.calls.append(f"ep_network_run(networks[{len(call.body.networks) - 1}], {x}, {x.shape[0]}, {made});")
    return made


def number(value: float) -> str:
    """A float32 in C: as few digits as tell it from its neighbours."""
    if np.isinf(value):
        return "HUGE_VALF" if value > 0 else "-HUGE_VALF"
    text = str(np.float32(value))
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
