"""Static int8 quantization: weights and activations, with ranges from calibration samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, final

from annotated_types import Ge

from pipeline.core import Context, Facts, Model, Precision, Promise, Technique


@final
@dataclass(frozen=True)
class QuantizeStatic(Technique):
    """Affine quantization q = round(x / scale) + zero_point (Jacob et al. 2018, arXiv:1712.05877).

    It only sets the model's precision policy: each exporter lowers it with its runtime's own quantizer, weights per output
    channel, activations per tensor with ranges seen on `calibration_samples` samples of the training split. The arithmetic
    is the portable one: files give the same answers with and without VNNI or dotprod instructions.

    `calibration` says what of a tensor's seen values the range holds. "minmax": all. "percentile": all but the outermost ones,
    which clips rare outliers and leaves the others finer steps; each format by what its library sees (its exporter says how
    many). "entropy": the range whose histogram lost least information (Migacz 2017, "8-bit Inference with TensorRT"), which
    only ONNX Runtime's quantizer has. Both lose what they clip: on LeNet-5 a percentile gained nothing.

    It does not pay in time where a runtime has no int8 kernel for an operator (recurrent layers) or where quantizing and
    dequantizing between small layers costs more than the products save; it nearly always pays in bytes.
    """

    calibration_samples: Annotated[int, Ge(1)] = 256
    per_channel: bool = True
    calibration: Literal["minmax", "percentile", "entropy"] = "minmax"

    fixes_precision: ClassVar[bool] = True

    @property
    def keeps_weights(self) -> bool:
        """They are rounded when a file is made of them."""
        return True

    def apply(self, model: Model, context: Context) -> Model:
        """Sets the precision; the float weights stay as they are."""
        precision = Precision(
            "static",
            per_channel=self.per_channel,
            calibration=self.calibration,
            calibration_samples=self.calibration_samples,
        )
        return replace(model, precision=precision, facts=replace(model.facts, weight_bits=min(8, model.facts.weight_bits)))

    def promise(self, before: Facts, after: Facts) -> Promise:
        """The bytes of 8 bits a weight; half of the time, the gain of byte-wide multiplies without VNNI."""
        return Promise(
            after.weight_bits / before.weight_bits, 0.5, ("file", "bundle", "latency where the runtime has int8 kernels")
        )
