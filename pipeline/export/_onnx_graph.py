"""The float ONNX model of a graph, from which the formats onnx and openvino start."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core import Graph, Unsupported
from pipeline.export._quiet import quiet
from pipeline.export._trace import exportable, refusal
from targets.runtimes.onnxruntime_ import register

if TYPE_CHECKING:
    import onnx

OPSET = 20
"""The newest that every runtime here takes, and the first with a GELU of its own."""


def float_model(graph: Graph) -> onnx.ModelProto:
    """The graph in ONNX: fixed batch 1, declared names, weights inside, BatchNorm folded, no trace of who made it.

    Chains of binary layers are our own operator, which ONNX Runtime has from a library.
    """
    import torch

    from pipeline.export._chains import lowered
    from pipeline.export._onnx_packed import filed, table

    module, arguments = exportable(lowered(graph))
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns of a missing torchvision on every export
    try:
        with quiet():
            program = torch.onnx.export(
                module,
                arguments,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                external_data=False,
                verbose=False,
                custom_translation_table=table(),
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise Unsupported(refusal("torch.onnx cannot export the module", error.__cause__ or error)) from error
    finally:
        logger.setLevel(level)
    if program is None:  # only the old exporter returns nothing
        raise Unsupported("torch.onnx exported nothing")
    return optimized(filed(strip(program.model_proto)))


def optimized(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model after ONNX Runtime's basic optimizations, which use standard operators only.

    They fold BatchNorm and constant expressions (a GRU's reordered weights) so that no quantizer has to look through them.
    """
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        register(options, model.SerializeToString())
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return strip(onnx.load(options.optimized_model_filepath))


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Removes what only a debugger reads, in place: stack traces (they leak paths and source), shapes, unused domains."""
    for graph in _graphs(model.graph):
        for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
            part.ClearField("doc_string")
            part.ClearField("metadata_props")
        graph.ClearField("value_info")
    used = {node.domain for graph in _graphs(model.graph) for node in graph.node} | {""}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    model.ClearField("opset_import")
    model.opset_import.extend(kept)
    model.ClearField("metadata_props")
    model.ClearField("doc_string")
    return model


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and those inside its nodes' attributes (the branches of an If, the body of a Loop)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _graphs(inner)
