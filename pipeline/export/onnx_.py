"""ONNX: one self-contained file for ONNX Runtime on a CPU, a phone or in a browser."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final
from unittest.mock import patch

import numpy as np

from pipeline.core import Arrays, Graph, Json, Model, Precision
from pipeline.export._common import calibration_samples, provenance_json, target_file
from pipeline.export._onnx_graph import float_model, strip
from pipeline.export._onnx_weights import store_found, store_recurrent
from pipeline.export._quiet import quiet
from targets.runtimes import _adapter as adapters

if TYPE_CHECKING:
    import onnx

BINS = 512
"""Of the histogram from which entropy cuts; its search takes a tenth of a second a tensor, and grows with their square."""
PERCENTILE = 99.99
"""Of all values that a tensor took in calibration, half of the rest cut off at each end."""


@final
@dataclass(frozen=True)
class Onnx:
    """Opset 20, batch 1; the provenance is the metadata property "edgepress".

    Int8 is ONNX Runtime's own static quantizer: QuantizeLinear/DequantizeLinear pairs, unsigned activations and signed
    7-bit weights (`reduce_range`), because x86 without VNNI adds two u8*s8 products in 16 bits and saturates with 8.
    Recurrent operators compute in float32 from weights stored as int8: the runtime has no static int8 kernel for them.
    Dynamic int8 is its quantizer's MatMulInteger, ConvInteger and DynamicQuantizeLSTM, with 7-bit weights for the same reason.
    Weights on a grid are stored as integers, and restored as the file is loaded: MatMulNBits, which computes from 4 bits, took
    a third longer on matrices of 128 x 512, and pays only where they do not fit the cache. 4 bits need opset 21.
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
            proto = _lowered(proto, graph, model.precision, calibration)
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


def _lowered(proto: onnx.ModelProto, graph: Graph, precision: Precision, calibration: list[Arrays]) -> onnx.ModelProto:
    match precision.activations:
        case "static":
            return _static_int8(proto, precision, calibration_samples(graph, precision, calibration))
        case "dynamic":
            return _dynamic_int8(proto, precision)
        case "float":
            return store_found(proto, precision)


@contextmanager
def _fine_entropy() -> Iterator[None]:
    """Entropy over BINS bins. The quantizer's own 128 are as many as its levels, so it would cut off nothing, ever.

    Its calibrator has an option for them, which its front does not hand on.
    """
    import sys

    front: Any = sys.modules["onnxruntime.quantization.quantize"]  # the package gives its name to a function
    create = front.create_calibrator

    def finer(*arguments: Any, extra_options: Any = None, **options: Any) -> Any:
        return create(*arguments, extra_options={**(extra_options or {}), "num_bins": BINS}, **options)

    with patch.object(front, "create_calibrator", finer):
        yield


def _static_int8(model: onnx.ModelProto, precision: Precision, samples: list[Arrays]) -> onnx.ModelProto:
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    from pipeline.export._onnx_packed import known

    # The mark of the quantizer's own pre-processing, which is what float_model has done: it warns when it misses it.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    finer = _fine_entropy() if precision.calibration == "entropy" else nullcontext()
    with tempfile.TemporaryDirectory() as folder, quiet(), finer, known(model):
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
            calibrate_method={
                "minmax": CalibrationMethod.MinMax,
                "percentile": CalibrationMethod.Percentile,
                "entropy": CalibrationMethod.Entropy,
            }[precision.calibration],
            # Not symmetric, which is its default for percentiles: behind a ReLU half of the levels would stay unused.
            extra_options={"CalibTensorRangeSymmetric": False, "CalibPercentile": PERCENTILE},
        )
        return store_recurrent(strip(onnx.load(file)), precision.per_channel)


def _dynamic_int8(model: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from pipeline.export._onnx_packed import known

    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as folder, quiet(), known(model):
        file = Path(folder) / "int8.onnx"
        quantize_dynamic(model, file, per_channel=precision.per_channel, reduce_range=True, weight_type=QuantType.QInt8)
        return store_recurrent(strip(onnx.load(file)), precision.per_channel)


def _reader(samples: list[Arrays]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Samples(CalibrationDataReader):  # type: ignore[misc]  # the package ships no types
        """Hands the samples out one by one, None at the end: the quantizer's protocol."""

        def __init__(self) -> None:
            self.left: Iterator[Arrays] = iter(samples)

        def get_next(self) -> Arrays | None:
            return next(self.left, None)

    return Samples()
