"""Knowledge distillation: a student learns the outputs of the uncompressed reference."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from annotated_types import Ge, Gt, Le

from pipeline.compress._weights import kept_zeros
from pipeline.core import Context, Facts, Model, Promise, Spec, Technique, Unsupported

if TYPE_CHECKING:
    import torch


@final
@dataclass(frozen=True)
class Distill(Technique):
    """Loss = weight * T^2 * KL(softmax(teacher / T) || softmax(student / T)) + (1 - weight) * the family's own loss.

    Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531. Logits are [N, classes]; T is `temperature`. With `student` the
    model is a new, smaller one of the same family (`student = { width = 0.5 }`); without it the current model is tuned.

    It does not pay when the student alone reaches the teacher's quality, and it costs a teacher's forward pass a step.
    """

    student: dict[str, Any] = field(default_factory=dict)
    temperature: Annotated[float, Gt(0)] = 4.0
    weight: Annotated[float, Ge(0), Le(1)] = 0.7
    epochs: Annotated[int, Ge(1)] | None = None
    """None: as many as the model's preset for a new student, half of that for tuning the current model."""
    learning_rate: Annotated[float, Gt(0)] | None = None

    def family(self, family: Spec) -> Spec:
        """The student's family: the same architecture with the options in `student`."""
        return replace(family, options={**family.options, **self.student})

    def apply(self, model: Model, context: Context) -> Model:
        """The trained student."""
        import torch

        from pipeline.train import fit, tuning

        epochs = self.epochs
        if self.student:
            epochs = epochs or context.train.epochs
            spec = self.family(model.family)
            torch.manual_seed(context.seed)
            smaller = spec.build()
            module = smaller.build(model.domain)
            smaller.begin(module, context.data, context.seed)
            student = replace(model, family=spec, module=module, surgery=())
        else:
            student = replace(model, module=copy.deepcopy(model.module))
        family = student.family.build()
        zeros = kept_zeros(student.module)
        options = tuning(context.train, epochs, self.learning_rate)
        fit(student.module, family, options, context, loss=self.loss(family, context), pace=zeros)
        zeros(student.module, 1.0)
        return student

    def promise(self, before: Facts, after: Facts) -> Promise:
        """Bytes fall with the parameters and time with the multiply-accumulates; a student of equal size gains quality only."""
        where = ("file", "bundle", "latency") if self.student else ("quality",)
        return Promise(after.parameters / before.parameters, after.macs / before.macs, where)

    def loss(self, family: Any, context: Context) -> Any:
        """The loss for `fit`, of a student of that family beside the context's reference. Unsupported without logits."""
        import torch
        from torch.nn import functional

        family_name = Path(context.reference.family.name).stem
        teacher_family = context.reference.family.build()
        teacher = context.reference.module.to(context.device).eval()

        def loss(module: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            with torch.no_grad():
                target = teacher_family.forward(teacher, batch)
            outputs = family.forward(module, batch)
            if "logits" not in outputs:
                raise Unsupported(f"distill compares logits, and {family_name} has none (it has {', '.join(outputs)})")
            # Of a sequence [N, T, classes] each place counts as a sample.
            ours, theirs = (each["logits"].flatten(0, -2) / self.temperature for each in (outputs, target))
            soft = functional.kl_div(
                functional.log_softmax(ours, dim=-1),
                functional.log_softmax(theirs, dim=-1),
                reduction="batchmean",
                log_target=True,
            )
            hard: torch.Tensor = family.loss(outputs, batch)
            return self.weight * self.temperature**2 * soft + (1 - self.weight) * hard

        return loss
