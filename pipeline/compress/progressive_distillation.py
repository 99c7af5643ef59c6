"""Progressive distillation: a generator that works in many steps learns to work in few, each worth two of its teacher's."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Protocol, final, runtime_checkable

from annotated_types import Ge, Gt

from pipeline.compress._tuning import tuned
from pipeline.core import Context, Facts, Model, Outlook, Promise, Spec, Technique, Unsupported
from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch


@runtime_checkable
class Stepwise(Protocol):
    """A family that makes what it makes in steps, as `steps` and `guidance` among its options say."""

    @property
    def steps(self) -> int:
        """Of what it makes."""

    def twice(
        self, module: torch.nn.Module, batch: Mapping[str, torch.Tensor], theirs: Any, teacher: torch.nn.Module
    ) -> torch.Tensor:
        """The loss of steps of `module` that are to lead where two of the `teacher`, of family `theirs`, lead."""


@final
@dataclass(frozen=True)
class ProgressiveDistillation(Technique):
    """Halves the steps again and again: each time the model, from the weights that it has, learns from a frozen copy of itself.

    Of a model of 50 steps that is to have 4 the first teacher works in 32, the others in 16 and in 8. The first is the
    uncompressed reference, so that a pruned model learns from what it was. What guidance changed is learnt too: the student's
    steps are one call each. Source: T. Salimans & J. Ho, "Progressive distillation for fast sampling of diffusion models" (2022,
    arXiv:2202.00512); of guidance, C. Meng et al., "On distillation of guided diffusion models" (2023, arXiv:2210.03142).
    It does not pay in bytes, nor in the time of a step: a picture is made of fewer of them.
    """

    steps: Annotated[int, Ge(1)] = 4
    epochs: Annotated[int, Ge(1)] | None = None
    """Of each halving; None: a third of the model's preset."""
    learning_rate: Annotated[float, Gt(0)] | None = None

    def family(self, family: Spec) -> Spec:
        """The same architecture, judged in fewer steps."""
        if not isinstance(family.build(), Stepwise):
            return family  # `check` says why this cannot be had
        return replace(family, options={**family.options, "steps": self.steps, "guidance": 1.0})

    def check(self, outlook: Outlook) -> None:
        """Refuses what has no steps, or too few."""
        try:
            self._counts(outlook.family)
        except Unsupported as reason:
            raise UserError(str(reason)) from None

    def apply(self, model: Model, context: Context) -> Model:
        """The model that needs so few."""
        from pipeline.train import part, tuning

        options = tuning(context.train, self.epochs or max(1, context.train.epochs // 3), self.learning_rate)
        counts = self._counts(model.family)
        module, teacher, theirs = model.module, context.reference.module, context.reference.family
        for index, count in enumerate(counts):
            progress = part(context.progress, index * options.epochs, len(counts) * options.epochs)
            inner = replace(context, scratch=context.scratch / f"steps-{count}", progress=progress)
            ours, module = replace(self, steps=count).family(model.family), copy.deepcopy(module)
            family = ours.build()
            teacher.to(context.device).eval()
            tuned(module, family, options, inner, partial(family.twice, theirs=theirs.build(), teacher=teacher))
            theirs, teacher = ours, module
        return replace(model, family=theirs, module=module)

    def promise(self, before: Facts, after: Facts) -> Promise:
        """A call is what it was."""
        return Promise(1.0, 1.0, ("calls",))

    def _counts(self, spec: Spec) -> list[int]:
        """The steps after each halving, the last are those that are wanted."""
        family = spec.build()
        if not isinstance(family, Stepwise):
            raise Unsupported(f"progressive_distillation: {spec.name} makes nothing in steps")
        if self.steps >= family.steps:
            found = f"{spec.name} makes what it makes in {family.steps}"
            raise Unsupported(f"progressive_distillation: steps = {self.steps}; {found}, and fewer are wanted")
        counts = [self.steps]
        while 4 * counts[0] <= family.steps:
            counts.insert(0, 2 * counts[0])
        return counts
