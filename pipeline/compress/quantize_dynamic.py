"""Dynamic int8 quantization: int8 weights, and activations whose ranges each call finds anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

from pipeline.core import Context, Facts, Model, Precision, Promise, Technique


@final
@dataclass(frozen=True)
class QuantizeDynamic(Technique):
    """q = round(x / scale) + zero_point (Jacob et al. 2018, arXiv:1712.05877), the activations' ones from each call's own range.

    It only sets the model's precision policy: exporters lower it with their runtime's own quantizer. Matrix products become
    int8, recurrent layers where the runtime has a kernel (ONNX Runtime's LSTM); no calibration samples are needed, and no
    range can be too narrow. OpenVINO has no such files.

    It does not pay where layers are small, as finding a range then costs more than the product saves, nor on convolutions,
    whose inputs are large and read once; static ranges are faster where they can be had.
    """

    per_channel: bool = True

    fixes_precision: ClassVar[bool] = True

    @property
    def keeps_weights(self) -> bool:
        """They are rounded when a file is made of them."""
        return True

    def apply(self, model: Model, context: Context) -> Model:
        """Sets the precision; the float weights stay as they are."""
        return replace(
            model,
            precision=Precision("dynamic", per_channel=self.per_channel),
            facts=replace(model.facts, weight_bits=min(8, model.facts.weight_bits)),
        )

    def promise(self, before: Facts, after: Facts) -> Promise:
        """The bytes of 8 bits a weight; less time only where matrices are large."""
        return Promise(after.weight_bits / before.weight_bits, 0.7, ("file", "bundle", "latency of large matrix products"))
