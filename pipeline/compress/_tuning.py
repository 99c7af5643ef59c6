"""Training on from a trained model: what the techniques' fine-tunings share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.compress._weights import kept_zeros
from pipeline.core import Context, Family, Train

if TYPE_CHECKING:
    import torch

    from pipeline.compress._comparison import Comparison

Batch = dict[str, "torch.Tensor"]
Loss = Callable[["torch.nn.Module", Batch], "torch.Tensor"]
TEMPERATURE = 4.0
"""Of the teacher's soft outputs, where no option says it."""


def tuned(module: torch.nn.Module, family: Family, options: Train, context: Context, loss: Loss | None = None) -> None:
    """Trains the module on, in place; what is zero stays zero, so that a pruned model stays pruned."""
    from pipeline.train import fit

    zeros = kept_zeros(module)
    fit(module, family, options, context, loss=loss, pace=zeros)
    zeros(module, 1.0)


def taught(family: Family, context: Context, weight: float) -> Loss:
    """The family's own loss, and with a `weight` above 0 the context's reference as a teacher of logits."""
    if not weight:
        return lambda module, batch: family.loss(family.forward(module, batch), batch)
    from pipeline.compress._comparison import Comparison

    return compared(Comparison("logits", TEMPERATURE), family, context, weight)


def compared(comparison: Comparison, family: Family, context: Context, weight: float) -> Loss:
    """weight * the distance to the context's reference + (1 - weight) * the own loss. Unsupported if they do not compare."""
    import torch

    teacher_family = context.reference.family.build()
    teacher = context.reference.module.to(context.device).eval()

    def loss(module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        with torch.no_grad(), torch.random.fork_rng():  # what a family draws (noise, places) is the same for both
            theirs = comparison.look(teacher_family, teacher, batch, comparison.layers.values())
        ours = comparison.look(family, module, batch, comparison.layers)
        hard = family.loss(ours.outputs, batch)
        return weight * comparison.distance(module, ours, theirs) + (1 - weight) * hard

    return loss
