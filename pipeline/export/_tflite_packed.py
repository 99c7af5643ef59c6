"""Chains of binary layers in TFLite: one custom operator each, edgepress.binary.Packed, with its packed file as a constant."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch

from pipeline.core import Graph
from pipeline.export._chains import Packed, lowered
from pipeline.export._quiet import quiet
from targets.runtimes._kernels import OPERATOR
from targets.runtimes.litert import delegates


def convertible(graph: Graph) -> Graph:
    """The graph with its chains packed as the converter takes them, which is told how they are written."""
    graph = lowered(graph)
    if ours := [layer for layer in graph.module.modules() if isinstance(layer, Packed)]:
        _register()
    for layer in ours:  # the converter has no constants of uint8
        layer.register_buffer("file", layer.get_buffer("file").view(torch.int8))
    return graph


@functools.cache
def _register() -> None:
    """Has litert_torch write the operator."""
    with quiet():
        from litert_torch.backend import lowerings

        ir, types = lowerings.utils.ir, lowerings.utils.node_meta_to_ir_types

    @lowerings.lower(torch.ops.edgepress.packed.default)  # type: ignore[untyped-decorator]  # the package ships no types
    def write(context: Any, x: Any, file: Any, output: list[int]) -> Any:
        options = {"custom_code": ir.StringAttr.get(OPERATOR), "custom_option": ir.Attribute.parse('#tfl<const_bytes: "0x">')}
        return ir.Operation.create("tfl.custom", types(context.node), [x, file], options).results[0]


@contextmanager
def known(content: bytes) -> Iterator[None]:
    """ai-edge-quantizer's interpreters find the operator, if the file asks for it: their front hands no delegate on."""
    from ai_edge_litert import interpreter

    loaded = functools.partial(interpreter.Interpreter, experimental_delegates=delegates(interpreter, content))
    with patch.object(interpreter, "Interpreter", loaded):
        yield
