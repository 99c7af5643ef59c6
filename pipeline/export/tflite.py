"""TFLite: one file for LiteRT on phones, boards and in browsers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np

from pipeline.core import Arrays, Graph, Json, Model, Precision, Unsupported
from pipeline.export._common import adapter_file, calibration_samples, provenance_json, target_file
from pipeline.export._quiet import quiet
from pipeline.export._tflite_file import finished, flat_biases
from pipeline.export._tflite_weights import store_found
from pipeline.export._trace import REFUSALS, exportable, refusal

SIGNATURE = "serving_default"
PERCENTILE = 99.0
"""Of the samples' smallest and largest values, which are all that ai-edge-quantizer sees."""


@final
@dataclass(frozen=True)
class Tflite:
    """Batch 1, one signature with the declared names; the provenance is the metadata "edgepress".

    64-bit integers become 32-bit ones, at inputs and outputs too: most runtimes on devices have no others. Int8 is
    ai-edge-quantizer's static w8a8 with float inputs and outputs (LiteRT.js takes no others). Recurrent layers are
    unrolled into primitive operators, so they become int8 too, one scale an operator and time step. Dynamic int8 is its
    quantizer's dynamic range, which LiteRT's hybrid kernels compute. Weights on a grid are stored as integers. Chains of
    binary layers are an operator of our own in any precision: LiteRT has it from our kernels' library.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".tflite",)
    tolerance: ClassVar[float] = 1e-4
    """Float32 sums in another order; the largest difference seen over fifteen architectures is 8e-6."""

    def export(self, model: Model, graph: Graph, path: Path, calibration: list[Arrays], provenance: Json) -> list[Path]:
        """Writes `path`.tflite; the same model gives the same bytes."""
        if model.precision is not None and model.precision.calibration == "entropy":
            raise Unsupported("ai-edge-quantizer sees each sample's smallest and largest value only, which make no entropy")
        from pipeline.export._adapter import beside
        from pipeline.export._tflite_packed import convertible

        graph, adapter = beside(model, graph)
        content = _convert(convertible(graph))
        if model.precision is not None:
            content = _lowered(flat_biases(content), graph, model.precision, calibration)
        file = target_file(path, ".tflite")
        file.write_bytes(finished(content, list(graph.inputs), graph.outputs, provenance_json(provenance)))
        return [file, *adapter_file(path, adapter, provenance)]


def _convert(graph: Graph) -> bytes:
    module, arguments = exportable(graph)
    try:
        with quiet():
            import litert_torch

            return bytes(litert_torch.convert(module, arguments).model_content())
    except REFUSALS as error:
        raise Unsupported(refusal("litert_torch cannot convert the module", error)) from error


def _lowered(content: bytes, graph: Graph, precision: Precision, calibration: list[Arrays]) -> bytes:
    match precision.activations:
        case "static":
            return _static_int8(content, precision, calibration_samples(graph, precision, calibration))
        case "dynamic":
            return _dynamic_int8(content, precision)
        case "float":
            return store_found(
                content, precision, [each.detach().numpy() for each in graph.module.parameters() if each.dim() == 1]
            )


def _dynamic_int8(content: bytes, precision: Precision) -> bytes:
    with quiet():
        from ai_edge_quantizer import qtyping, quantizer
        from ai_edge_quantizer.recipe_manager import RecipeManager

        recipes = RecipeManager()
        recipes.add_dynamic_config(
            regex=".*", operation_name=qtyping.TFLOperationName.ALL_SUPPORTED, num_bits=8, granularity=_granularity(precision)
        )
        return bytes(quantizer.Quantizer(content, recipes.get_quantization_recipe()).quantize().quantized_model)


def _static_int8(content: bytes, precision: Precision, samples: list[Arrays]) -> bytes:
    from pipeline.export._tflite_packed import known

    with quiet(), known(content):
        from ai_edge_quantizer import calibrator, quantizer
        from ai_edge_quantizer.utils.qsv_utils import min_max_update

        recipes = _recipe(precision)
        # The default keeps a moving average of the samples' ranges and so clips half of them: 10 times the error here.
        update = min_max_update if precision.calibration == "minmax" else _percentiles
        calibration = calibrator.Calibrator(content, num_threads=1, qsv_update_func=update)
        calibration.calibrate({SIGNATURE: [_positional(sample) for sample in samples]}, recipes)
        quantized = quantizer.Quantizer(content, recipes.get_quantization_recipe())
        return bytes(quantized.quantize(calibration.get_model_qsvs()).quantized_model)


def _percentiles(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """A range that leaves out the widest of the samples' ranges, at each end; all ends that were seen are kept beside it."""
    ends = {side: np.append(before.get(f"every_{side}", before.get(side, [])), new[side]) for side in ("min", "max")}
    cut = {"min": 100 - PERCENTILE, "max": PERCENTILE}
    made = {side: np.percentile(ends[side], cut[side]).astype(np.float32).reshape(np.shape(new[side])) for side in ends}
    return {**made, **{f"every_{side}": ends[side] for side in ends}}


def _granularity(precision: Precision) -> Any:
    from ai_edge_quantizer.qtyping import QuantGranularity

    return QuantGranularity.CHANNELWISE if precision.per_channel else QuantGranularity.TENSORWISE


def _recipe(precision: Precision) -> Any:
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.recipe_manager import AlgorithmName, RecipeManager

    operations = qtyping.TFLOperationName
    recipes = RecipeManager()
    recipes.add_static_config(
        regex=".*",
        operation_name=operations.ALL_SUPPORTED,
        activation_num_bits=8,
        weight_num_bits=8,
        weight_granularity=_granularity(precision),
    )
    for edge in (operations.INPUT, operations.OUTPUT):
        recipes.add_quantization_config(regex=".*", operation_name=edge, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return recipes


def _positional(sample: Arrays) -> Arrays:
    """A sample under the names that the converter gave its inputs, in its integer type."""
    values = [array.astype(np.int32) if array.dtype == np.int64 else array for array in sample.values()]
    return {f"args_{index}": array for index, array in enumerate(values)}
