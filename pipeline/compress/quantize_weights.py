"""Weight-only quantization: weights of 8 or 4 bits, activations and arithmetic in float32."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, final

import numpy as np
from annotated_types import Ge

from pipeline.compress._gptq import gptq
from pipeline.compress._grid import mean_bits, misfit, put
from pipeline.compress._weights import weights
from pipeline.core import Context, Facts, Model, Outlook, Precision, Promise, Technique, Unsupported
from pipeline.errors import UserError


@final
@dataclass(frozen=True)
class QuantizeWeights(Technique):
    """w ~ s * n with whole numbers |n| <= 2^(bits - 1) - 1 and a step s an output channel, or a group of its inputs.

    `nearest` rounds each weight. `gptq` rounds a layer's inputs one after the other and lets those that are left make up for
    the error, so that the layer's outputs on `calibration_samples` samples of the training split change least (Frantar et al.
    2022, arXiv:2210.17323): linear layers and convolutions; other weights are rounded to the nearest. Each s is the one of a
    few, from the largest weight's down to half of it, that loses least in squares.

    The module itself takes the rounded weights, so torch shows the quantized accuracy, and a file computes what torch does.
    Exporters store what lies on a grid in so many bits; runtimes restore it as they load. It pays in bytes, at rest and in
    transit. It does not pay in time, as the arithmetic is that of float32, nor in memory while running; LiteRT is even slower
    with 4 bits, or groups. Smaller groups lose less accuracy and cost 32 bits a group.
    """

    bits: Literal[8, 4] = 8
    group: Annotated[int, Ge(2)] | None = None
    """So many neighbours along the inputs share a step; it must divide every layer's inputs. None: an output channel does."""
    method: Literal["nearest", "gptq"] = "nearest"
    calibration_samples: Annotated[int, Ge(1)] = 128
    """Of the training split, for gptq."""

    fixes_precision: ClassVar[bool] = True

    def check(self, outlook: Outlook) -> None:
        """Refuses a group that does not divide the inputs of some layer."""
        if self.group and (wrong := misfit(self.group, weights(outlook.module()))):
            raise UserError(f"quantize_weights: {wrong}")

    def apply(self, model: Model, context: Context) -> Model:
        """The model with its weights on the grid."""
        module = copy.deepcopy(model.module).eval()
        widths = dict.fromkeys(weights(module), self.bits)
        if wrong := misfit(self.group, weights(module)):
            raise Unsupported(wrong)
        done = set[str]()
        if self.method == "gptq":
            drawn = np.random.default_rng(context.seed).permutation(context.data.size("train"))[: self.calibration_samples]
            done = gptq(module, model.family.build(), context.data, np.sort(drawn), self.bits, self.group, context.progress)
        put(module, {name: bits for name, bits in widths.items() if name not in done}, self.group)
        precision = Precision("float", weight_bits=self.bits, group=self.group)
        bits = mean_bits(module, widths, self.group)
        return replace(model, module=module, precision=precision, facts=replace(model.facts, weight_bits=bits))

    def promise(self, before: Facts, after: Facts) -> Promise:
        """Bytes fall with the mean bits of a parameter; the time is that of float32."""
        return Promise(min(1.0, after.weight_bits / before.weight_bits), 1.0, ("file", "bundle"))
