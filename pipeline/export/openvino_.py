"""OpenVINO: an .xml that describes the graph and a .bin that holds its weights, for Intel and ARM CPUs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

from pipeline.core import Arrays, Graph, Json, Model, Precision, Unsupported
from pipeline.export._common import adapter_file, calibration_samples, provenance_json, target_file
from pipeline.export._onnx_graph import float_model
from pipeline.export._openvino_packed import extension
from pipeline.export._openvino_weights import RECURRENT_WEIGHTS, store_found, store_recurrent
from pipeline.export._quiet import quiet
from pipeline.export._trace import refusal
from targets.runtimes import openvino_
from targets.runtimes._openvino import library

if TYPE_CHECKING:
    import onnx

OUTLIERS = 1e-4
"""Fraction of a sample's values that a percentile leaves out at each end."""


@final
@dataclass(frozen=True)
class Openvino:
    """IR with float32 weights, batch 1; the provenance is the runtime info "edgepress" / "provenance".

    It starts from the ONNX graph, because OpenVINO's own reader of torch modules fails on nn.TransformerEncoder.
    Int8 is NNCF on the OpenVINO model with `overflow_fix=ENABLE`: x86 without VNNI saturates sums of 8-bit products, and
    the default, which fixes the first layers only, lost 2 to 4 points of accuracy there. Recurrent operators compute in
    float32 from weights stored as int8: OpenVINO has no int8 kernel for the GRU of torch. Weights on a grid are stored as
    integers and restored as the file is loaded. Binary layers are OpenVINO's own BinaryConvolution, which is for x86 alone.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".xml", ".bin")
    tolerance: ClassVar[float] = 1e-4
    """Float32 sums in another order; the largest difference seen over fifteen architectures is 8e-6."""

    def export(self, model: Model, graph: Graph, path: Path, calibration: list[Arrays], provenance: Json) -> list[Path]:
        """Writes `path`.xml and `path`.bin; the same model gives the same bytes."""
        if model.precision is not None:
            _refuse(model.precision)
        from pipeline.export._adapter import beside

        graph, adapter = beside(model, graph)
        converted = _read(float_model(graph))
        if model.precision is not None:
            converted = _lowered(converted, graph, model.precision, calibration)
        _make_reproducible(converted)
        converted.set_rt_info(provenance_json(provenance), ["edgepress", "provenance"])
        files = [target_file(path, suffix) for suffix in self.suffixes]
        library().save_model(converted, files[0], compress_to_fp16=False)
        return [*files, *adapter_file(path, adapter, provenance)]


def _refuse(precision: Precision) -> None:
    if precision.activations == "dynamic":
        raise Unsupported(
            "no OpenVINO file says that each call is to quantize its activations: the CPU plugin does so of itself for layers of "
            "compressed weights where the processor has VNNI or AMX, and elsewhere computes in float; NNCF has no such mode"
        )
    if precision.calibration == "entropy":
        raise Unsupported("NNCF has no calibration by entropy; it has minmax and percentile")


def _lowered(model: Any, graph: Graph, precision: Precision, calibration: list[Arrays]) -> Any:
    if precision.activations == "float":
        return store_found(model, precision)
    quantized = _static_int8(model, precision, calibration_samples(graph, precision, calibration))
    return store_recurrent(quantized, precision.per_channel)


def _read(proto: onnx.ModelProto) -> Any:
    """What openvino.convert_model does, without its telemetry and without writing its parameters into the file."""
    core = library().Core()
    from openvino._offline_transformations import apply_moc_transformations

    try:
        with quiet():
            core.add_extension(extension(proto))
            model = core.read_model(model=proto.SerializeToString(), weights=b"")
            apply_moc_transformations(model, cf=True, smart_reshape=False)
    except RuntimeError as error:
        raise Unsupported(refusal("OpenVINO cannot read the graph", error)) from error
    if why := openvino_.refusal(model):
        raise Unsupported(why)
    return model


def _static_int8(model: Any, precision: Precision, samples: list[Arrays]) -> Any:
    with quiet():
        import nncf
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix, QuantizationParameters

        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset(samples),
            subset_size=len(samples),
            fast_bias_correction=True,
            # It would give a recurrent operation's input and state one scale: outputs of an LSTM then correlate 0.75.
            ignored_scope=nncf.IgnoredScope(types=[*RECURRENT_WEIGHTS], validate=False),
            advanced_parameters=AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.ENABLE,
                activations_range_estimator_params=_range(precision.calibration),
                weights_quantization_params=QuantizationParameters(per_channel=precision.per_channel),
            ),
        )


def _range(calibration: str) -> Any:
    """How NNCF is to find an activation's range: the widest of all samples, each whole or between its outer quantiles.

    Its default averages the samples' ranges and so clips half of them: 3 times the error here.
    """
    from nncf.quantization import range_estimator as nncf

    if calibration == "minmax":
        return nncf.RangeEstimatorParametersSet.MINMAX
    quantile = nncf.StatisticsType.QUANTILE
    return nncf.RangeEstimatorParameters(
        min=nncf.StatisticsCollectorParameters(quantile, nncf.AggregatorType.MIN, quantile_outlier_prob=OUTLIERS),
        max=nncf.StatisticsCollectorParameters(quantile, nncf.AggregatorType.MAX, quantile_outlier_prob=OUTLIERS),
    )


def _make_reproducible(model: Any) -> None:
    """Gives every operation a name by its place: the automatic ones count all operations that the process ever made."""
    model.set_friendly_name("edgepress")
    for index, operation in enumerate(model.get_ordered_ops()):
        operation.set_friendly_name(f"{operation.get_type_name()}_{index}")
