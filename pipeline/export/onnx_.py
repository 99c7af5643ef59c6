"""ONNX: one self-contained file for ONNX Runtime on a CPU, a phone or in a browser."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from pipeline.core import Arrays, Graph, Json, Model, Precision
from pipeline.export._common import calibration_samples, provenance_json, target_file
from pipeline.export._onnx_graph import float_model, strip
from pipeline.export._quiet import quiet
from pipeline.export._recurrent import store_onnx_as_int8
from targets.runtimes import _adapter as adapters

if TYPE_CHECKING:
    import onnx


@final
@dataclass(frozen=True)
class Onnx:
    """Opset 20, batch 1; the provenance is the metadata property "edgepress".

    Int8 is ONNX Runtime's own static quantizer: QuantizeLinear/DequantizeLinear pairs, unsigned activations and signed
    7-bit weights (`reduce_range`), because x86 without VNNI adds two u8*s8 products in 16 bits and saturates with 8.
    Recurrent operators compute in float32 from weights stored as int8: the runtime has no static int8 kernel for them.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)
    tolerance: ClassVar[float] = 1e-4
    """Float32 sums in another order; the largest difference seen over fifteen architectures is 8e-6."""

    def export(self, model: Model, graph: Graph, path: Path, calibration: list[Arrays], provenance: Json) -> list[Path]:
        """Writes `path`.onnx; the same model gives the same bytes."""
        from pipeline.export._adapter import beside

        graph, adapter = beside(model, graph)
        proto = float_model(graph)
        if model.precision is not None:
            proto = _static_int8(proto, model.precision, calibration_samples(graph, model.precision, calibration))
        proto.metadata_props.add(key="edgepress", value=provenance_json(provenance))
        file = target_file(path, ".onnx")
        _let_out(proto, adapter)
        file.write_bytes(proto.SerializeToString(deterministic=True))
        return [file, *([_adapter_file(path, adapter)] if adapter else [])]


def _let_out(proto: onnx.ModelProto, adapter: Arrays) -> None:
    """Makes the adapter's inputs optional: initializers of their names are their defaults, and zeros are no adapter."""
    from onnx import numpy_helper

    for name, array in adapter.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.zeros_like(array), name))


def _adapter_file(path: Path, adapter: Arrays) -> Path:
    """Writes `path`.onnx_adapter, which the runtime reads by itself."""
    from onnxruntime import AdapterFormat, OrtValue

    form, file = AdapterFormat(), target_file(path, adapters.ONNX)
    form.set_adapter_version(1)
    form.set_model_version(1)
    form.set_parameters({name: OrtValue.ortvalue_from_numpy(array) for name, array in adapter.items()})
    form.export_adapter(str(file))
    return file


def _static_int8(model: onnx.ModelProto, precision: Precision, samples: list[Arrays]) -> onnx.ModelProto:
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    # The mark of the quantizer's own pre-processing, which is what float_model has done: it warns when it misses it.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as folder, quiet():
        file = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            file,
            _reader(samples),
            quant_format=QuantFormat.QDQ,
            per_channel=precision.per_channel,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return store_onnx_as_int8(strip(onnx.load(file)), precision.per_channel)


def _reader(samples: list[Arrays]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Samples(CalibrationDataReader):  # type: ignore[misc]  # the package ships no types
        """Hands the samples out one by one, None at the end: the quantizer's protocol."""

        def __init__(self) -> None:
            self.left: Iterator[Arrays] = iter(samples)

        def get_next(self) -> Arrays | None:
            return next(self.left, None)

    return Samples()
