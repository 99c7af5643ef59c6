"""Chains of binary layers in ONNX: one operator each, edgepress.binary.Packed, with its packed file as an attribute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch

from targets.kernels.network import Network
from targets.runtimes._kernels import OPERATORS
from targets.runtimes.onnxruntime_ import register

if TYPE_CHECKING:
    import onnx

DOMAIN, NAME, FILE = OPERATORS.decode(), "Packed", "file"


def table() -> dict[Any, Callable[..., Any]]:
    """For torch.onnx: how the operator is written. The file is an input until `filed` makes an attribute of it."""
    from onnx.defs import OpSchema
    from onnxscript.values import Op, Opset

    inputs = [OpSchema.FormalParameter(name, f"tensor({kind})") for name, kind in (("x", "float"), ("file", "uint8"))]
    schema = OpSchema(NAME, DOMAIN, 1, inputs=inputs, outputs=[OpSchema.FormalParameter("y", "tensor(float)")])
    made = Op(Opset(DOMAIN, 1), NAME, schema)

    def write(x: Any, file: Any, output: Any) -> Any:
        return made(x, file)

    return {torch.ops.edgepress.packed.default: write}


@contextmanager
def known(proto: onnx.ModelProto) -> Iterator[None]:
    """The quantizers know the operator, if the model has it: what it gives, which they cannot infer, and their sessions, to which
    their front hands no options on, where it is.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    ours = [node for node in proto.graph.node if node.domain == DOMAIN]
    for node in ours:
        sides = [None, *Network(node.attribute[0].s).output]
        proto.graph.value_info.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, sides))
    session = onnxruntime.InferenceSession

    def opened(model: Any, sess_options: Any = None, **options: Any) -> Any:
        chosen = sess_options or onnxruntime.SessionOptions()
        register(chosen, OPERATORS)
        return session(model, sess_options=chosen, **options)

    with patch.object(onnxruntime, "InferenceSession", opened) if ours else nullcontext():
        yield


def filed(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Makes attributes of the files, in place: a session then refuses a bad one when it is loaded."""
    from onnx import helper, numpy_helper

    files = {each.name: each for each in proto.graph.initializer}
    for node in proto.graph.node:
        if node.domain == DOMAIN:
            file = files.pop(node.input.pop())
            node.attribute.append(helper.make_attribute(FILE, numpy_helper.to_array(file).tobytes()))
            proto.graph.initializer.remove(file)
    return proto
