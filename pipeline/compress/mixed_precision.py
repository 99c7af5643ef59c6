"""Mixed precision: each layer's weights get as many bits as its errors are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, final

import numpy as np
from annotated_types import Ge, Gt, Le, MinLen

from pipeline.compress._fake_quantization import rounded, trained_rounded
from pipeline.compress._grid import Widths, mean_bits, misfit
from pipeline.compress._weights import weights
from pipeline.core import Array, Context, Facts, Family, Model, Outlook, Precision, Promise, Technique, Unsupported
from pipeline.errors import UserError
from pipeline.evaluate import collect, module_predictors
from pipeline.sensitivity import errors

if TYPE_CHECKING:
    import torch

MEAN_BITS = 6.0
"""Where no option says how much."""
HALVINGS = 6
"""Of the interval of mean bits in which a quality is looked for: to a tenth of a bit."""


@final
@dataclass(frozen=True)
class MixedPrecision(Technique):
    """Chooses the bits b(l) of every weight tensor l, of n(l) weights, by an integer linear program:

        minimise  sum D(l, b(l))   under   sum n(l) * b(l) <= mean_bits * sum n(l)

    (as HAWQ-V3, Yao et al. 2021, arXiv:2011.10680), where D(l, b) is the model's sensitivity to that tensor's rounding alone
    (pipeline/sensitivity.py). Weights are rounded to symmetric grids with clipped scales, per output channel or `group`;
    activations stay float. Files hold integers of 4 and of 8 bits: other widths are stored as the next of these. The report's
    step has the errors and the bits that were chosen.

    It does not pay where all layers are alike, nor in time: runtimes multiply the weights as floats, having unpacked them.
    """

    mean_bits: Annotated[float, Ge(2), Le(8)] | None = None
    """Mean bits of a weight, scales not counted; 6 when no other option says how much."""
    quality: Annotated[float, Ge(0)] | None = None
    """Instead: the metric may become so much worse on the validation samples, in its unit; the fewest bits that keep it."""
    bits: Annotated[tuple[Annotated[int, Ge(2), Le(8)], ...], MinLen(2)] = (8, 4)
    """What a tensor can get."""
    group: Annotated[int, Ge(2)] | None = None
    """So many neighbours along a weight's inputs share a scale; None: all of an output channel."""
    samples: Annotated[int, Ge(1)] = 1024
    """Of the validation split: what errors and quality are measured on."""
    epochs: Annotated[int, Ge(0)] = 0
    """Of training on with the chosen bits, as in `quantize_aware`."""
    teacher: Annotated[float, Ge(0), Le(1)] = 0.0
    """Weight of the uncompressed reference's soft outputs in that training's loss."""
    learning_rate: Annotated[float, Gt(0)] | None = None

    fixes_precision: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuses bounds that no assignment can keep, and two bounds."""
        if self.mean_bits is not None and self.quality is not None:
            raise UserError("mixed_precision: mean_bits and quality each say how much is kept; give one")
        if len(set(self.bits)) < len(self.bits):
            raise UserError(f"mixed_precision: bits {list(self.bits)} names one twice")
        if self.mean_bits is not None and self.mean_bits < min(self.bits):
            raise UserError(f"mixed_precision: mean_bits {self.mean_bits:g} is below the fewest of bits, {min(self.bits)}")

    def check(self, outlook: Outlook) -> None:
        """Refuses a group that does not divide the inputs of every weight."""
        if self.group and (wrong := misfit(self.group, weights(outlook.module()))):
            raise UserError(f"mixed_precision: {wrong}")

    def apply(self, model: Model, context: Context) -> Model:
        """The model with its weights on the chosen grids."""
        from pipeline.train import part

        family, options = model.family.build(), sorted(self.bits, reverse=True)
        if not context.data.size("validation"):
            raise Unsupported("mixed_precision measures on validation samples, and the data set has none")
        sizes = {name: each.numel() for name, each in weights(model.module).items()}
        one, rest = part(context.progress, 0, 1 + self.epochs), part(context.progress, 1, 1 + self.epochs)
        table = errors(model.module, family, context.data, [*sizes], options, self.samples, self.group, one)
        if self.quality is None:
            chosen = assigned(table, [*sizes.values()], options, self.mean_bits or max(MEAN_BITS, min(options)))
        else:
            chosen = self._fewest(model.module, family, context, table, sizes, options)
        widths = dict(zip(sizes, chosen, strict=True))
        module = trained_rounded(
            model.module,
            family,
            replace(context, progress=rest),
            widths,
            group=self.group,
            teacher=self.teacher,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
        )
        rows = {name: [float(f"{value:.3g}") for value in row] for name, row in zip(sizes, table, strict=True)}
        precision, mean = Precision("float", max(chosen), group=self.group), mean_bits(module, widths, self.group)
        made = replace(model, module=module, precision=precision, facts=replace(model.facts, weight_bits=mean))
        return made.after({"widths": options, "errors": rows, "chosen": widths})

    def promise(self, before: Facts, after: Facts) -> Promise:
        """Bytes fall with the bits; the time stays."""
        return Promise(min(1.0, after.weight_bits / before.weight_bits), 1.0, ("file", "bundle"))

    def _fewest(
        self,
        module: torch.nn.Module,
        family: Family,
        context: Context,
        table: Array,
        sizes: dict[str, int],
        options: Sequence[int],
    ) -> list[int]:
        """The assignment of fewest mean bits that keeps the quality, by bisection; Unsupported if the most bits do not."""
        task = family.task(context.data.domain)

        def value(widths: Widths) -> float:
            graphs = family.graphs(rounded(module, widths, self.group).eval(), context.data.domain)
            predictors = module_predictors(graphs)
            return task.value(collect(task, predictors, context.data, "validation", self.samples))

        reference, sign = value({}), 1 if task.higher_is_better else -1

        def worse(chosen: list[int]) -> float:
            return sign * (reference - value(dict(zip(sizes, chosen, strict=True))))

        low, high = float(min(options)), float(max(options))
        best = [max(options)] * len(sizes)
        if (least := worse(best)) > (self.quality or 0):
            raise Unsupported(f"quality: {max(options)} bits for every weight already lose {least:.3g} of the {task.metric}")
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            chosen = assigned(table, [*sizes.values()], options, middle)
            if worse(chosen) <= (self.quality or 0):
                best, high = chosen, middle
            else:
                low = middle
        return best


def assigned(errors: Array, sizes: Sequence[int], options: Sequence[int], mean_bits: float) -> list[int]:
    """The bits of each tensor, of `options`, with the least sum of `errors` [tensors, options] within the mean bits.

    >>> assigned(np.array([[0.0, 1.0], [0.0, 9.0]]), [100, 100], [8, 4], mean_bits=6)
    [4, 8]
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    tensors, columns = errors.shape
    bits = np.asarray(options)
    one_each = np.kron(np.eye(tensors), np.ones(columns))
    used = np.outer(sizes, bits).ravel()
    # The solver's tolerances are absolute, so errors become large; of two equal ones the smaller tensor is wanted.
    scaled = 1e6 * errors / max(float(errors.max()), np.finfo(np.float64).tiny)
    price = 1e-3 * used / used.sum()
    found = milp(
        scaled.ravel() + price,
        integrality=np.ones(errors.size),
        bounds=Bounds(0, 1),
        constraints=[LinearConstraint(one_each, 1, 1), LinearConstraint(used[None], 0, mean_bits * sum(sizes))],
        options={"mip_rel_gap": 0},
    )
    return [int(bits[row.argmax()]) for row in found.x.reshape(tensors, columns)]
