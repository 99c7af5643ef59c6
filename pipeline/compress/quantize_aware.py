"""Quantization-aware training: the model learns with the weights and activations that its files will have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, final

from annotated_types import Ge, Gt, Le

from pipeline.compress._fake_quantization import trained_rounded
from pipeline.compress._grid import mean_bits, misfit
from pipeline.compress._weights import weights
from pipeline.core import Context, Facts, Model, Outlook, Precision, Promise, Technique
from pipeline.errors import UserError


@final
@dataclass(frozen=True)
class QuantizeAware(Technique):
    """Trains on while every forward pass takes rounded weights, and puts the weights on their grids in the end:

        w' = s * clamp(round(w / s), -n, n),   n = 2^(weight_bits - 1) - 1,   dL/dw = dL/dw'

    (Jacob et al. 2018, arXiv:1712.05877; the gradient as if nothing were rounded: Bengio et al. 2013, arXiv:1308.3432). Each
    output channel has its own s, found anew at every step as the one of a few that loses least in squares. All tensors of
    two or more dimensions are rounded, biases are not. With `activations` "static" the inputs of linear layers and
    convolutions are rounded to 8 bits too, in ranges that follow the batches, and files compute in int8. Normalization scales
    whole output channels, so folding it into a convolution leaves the weights on a grid. Zeros stay zeros.

    It does not pay at 8 bits, where rounding alone loses next to nothing, nor in time below 8: no runtime here multiplies
    smaller integers. `epochs = 0` is rounding alone, what it is to be held against.
    """

    weight_bits: Annotated[int, Ge(2), Le(8)] = 4
    activations: Literal["static", "float"] = "static"
    """"static": int8, with ranges from calibration samples; "float": only what is stored gets smaller."""
    group: Annotated[int, Ge(2)] | None = None
    """So many neighbours along a weight's inputs share a scale; None: all of an output channel. Float activations only."""
    teacher: Annotated[float, Ge(0), Le(1)] = 0.0
    """Weight of the uncompressed reference's soft outputs in the loss, as in `distill`; 0 is the family's own loss."""
    epochs: Annotated[int, Ge(0)] | None = None
    """None: half of the model's preset; 0: rounding alone."""
    learning_rate: Annotated[float, Gt(0)] | None = None
    calibration_samples: Annotated[int, Ge(1)] = 256

    fixes_precision: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuses groups where the runtimes' own quantizers would make channels of them."""
        if self.group and self.activations == "static":
            raise UserError('quantize_aware: group needs activations = "float"; int8 products have one scale an output channel')

    def check(self, outlook: Outlook) -> None:
        """Refuses a group that does not divide the inputs of every weight."""
        if self.group and (wrong := misfit(self.group, weights(outlook.module()))):
            raise UserError(f"quantize_aware: {wrong}")

    def apply(self, model: Model, context: Context) -> Model:
        """The trained model, its weights on their grids."""
        widths = dict.fromkeys(weights(model.module), self.weight_bits)
        module = trained_rounded(
            model.module,
            model.family.build(),
            context,
            widths,
            group=self.group,
            activations=self.activations == "static",
            teacher=self.teacher,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
        )
        samples = self.calibration_samples
        precision = Precision(self.activations, self.weight_bits, group=self.group, calibration_samples=samples)
        # Int8 arithmetic wants its weights in int8, however coarse their grid.
        bits = mean_bits(module, dict.fromkeys(widths, 8) if self.activations == "static" else widths, self.group)
        return replace(model, module=module, precision=precision, facts=replace(model.facts, weight_bits=bits))

    def promise(self, before: Facts, after: Facts) -> Promise:
        """Bytes fall with the bits; time halves where int8 kernels are used."""
        time = 0.5 if self.activations == "static" else 1.0
        return Promise(min(1.0, after.weight_bits / before.weight_bits), time, ("file", "bundle"))
