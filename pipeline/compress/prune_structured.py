"""Structured pruning: whole channels, hidden units and attention heads go, so that every runtime gets smaller tensors."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, final

from annotated_types import Ge, Gt, Le, Lt

from pipeline.compress._budget import FINEST, Left, facts, fewest, latency, macs, parameter_bytes
from pipeline.compress._importance import Importance, Score, batchnorm, magnitude, normalised, taylor
from pipeline.compress._ranking import Step, evened, ranked, removed, resized, tied
from pipeline.compress._slices import cut
from pipeline.compress._tuning import taught, tuned
from pipeline.core import Context, Domain, Facts, Json, Model, Outlook, Promise, Technique, Unsupported
from pipeline.errors import UserError
from pipeline.files import write_atomic
from pipeline.registry import find

if TYPE_CHECKING:
    import torch

Fraction = Annotated[float, Gt(0), Lt(1)]
BUDGETS = ("macs", "bytes", "latency")
MACS = 0.5
"""What is left where no option says how much."""
BATCHES = 32
"""Of gradients, for Taylor's importance: more change the order of few units."""


@final
@dataclass(frozen=True)
class PruneStructured(Technique):
    """Removes the least important units until a budget is kept, in `rounds` equal cuts, an epoch of fine-tuning after each and
    the rest after the last.

    A unit is a channel of a convolution, a unit of a linear or recurrent layer, or a head of an attention, with all that is
    coupled to it. Couplings of channels come from DepGraph (Fang et al. 2023, arXiv:2301.12900; the Torch-Pruning library).
    In a model with attention it is heads and feed-forward units that go, and the width of the residual stream stays. Levels
    of a recurrent layer lose as many units each, and so do all attentions of a model with a cache. `importance` of a unit:

        magnitude  sqrt(mean w^2) of its weights, over the mean of its layer's units
        taylor     sum of (g w)^2 over its weights, g the gradient of the loss (Molchanov et al. 2019, arXiv:1906.10771),
                   over what the unit saves of the multiply-accumulates (of the bytes, where those are the budget)
        batchnorm  |gamma| of its BatchNorm (Liu et al. 2017, arXiv:1708.06519; without their L1 penalty before the cut)

    It does not pay where a layer's latency is bound by its calls rather than by its products (tiny models, batch 1), and
    latency falls less than the multiply-accumulates do: `latency` asks for what counts, and takes longer.
    """

    importance: Importance = "magnitude"
    macs: Fraction | None = None
    """Fraction of the multiply-accumulates to keep at most; 0.5 when no other budget is given."""
    bytes: Fraction | None = None
    """Instead: fraction of the parameters' bytes."""
    latency: Fraction | None = None
    """Instead: fraction of the latency of the model before, as measured on this machine while cutting."""
    runtime: str = "onnxruntime"
    """In which the latency is measured."""
    multiple: Annotated[int, Ge(1)] = 1
    """What is left of a layer's units is a multiple of this, or all: runtimes whose kernels take channels by eights or fours
    lose time with odd counts."""
    rounds: Annotated[int, Ge(1)] = 3
    teacher: Annotated[float, Ge(0), Le(1)] = 0.0
    """Weight of the uncompressed reference's soft outputs in the loss, as in `distill`; 0 is the family's own loss."""
    epochs: Annotated[int, Ge(1)] | None = None
    """Of fine-tuning, over all rounds together; None: half of the model's preset."""
    learning_rate: Annotated[float, Gt(0)] | None = None

    def __post_init__(self) -> None:
        """Two answers to one question are refused."""
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) > 1:
            raise UserError(f"prune_structured: {' and '.join(given)} each say what is kept; give one of macs, bytes and latency")

    def check(self, outlook: Outlook) -> None:
        """Refuses scales of a model that has none, and runtimes that cannot measure."""
        if self.importance == "batchnorm" and not normalised(outlook.module()):
            raise UserError(
                f"prune_structured: importance = 'batchnorm' needs layers of batch normalisation, and {outlook.family.name} "
                "has none; choose 'magnitude' or 'taylor'"
            )
        missing = find("runtime", self.runtime, "prune_structured: runtime")().missing()
        if self.latency and missing:
            raise UserError(f"prune_structured: latency cannot be measured in {self.runtime}: {missing}")

    def apply(self, model: Model, context: Context) -> Model:
        """The pruned and fine-tuned model."""
        from pipeline.train import part, tuning

        options = tuning(context.train, self.epochs, self.learning_rate)
        # A short recovery between cuts and a long one at the end.
        shares = [1] * (self.rounds - 1) + [max(1, options.epochs - self.rounds + 1)]
        pruned = replace(model, module=copy.deepcopy(model.module))
        for index, epochs in enumerate(shares):
            progress = part(context.progress, sum(shares[:index]), sum(shares))
            inner = replace(context, scratch=context.scratch / f"round-{index}", progress=progress)
            pruned = self._cut(pruned, model, (index + 1) / self.rounds, inner)
            family = pruned.family.build()
            tuned(pruned.module, family, replace(options, epochs=epochs), inner, taught(family, inner, self.teacher))
        return replace(pruned, facts=facts(pruned))

    def promise(self, before: Facts, after: Facts) -> Promise:
        """Bytes fall with the parameters, time with the multiply-accumulates."""
        return Promise(
            after.parameters / before.parameters,
            after.macs / before.macs,
            ("file", "bundle", "latency"),
        )

    def replay(self, module: torch.nn.Module, record: Json, domain: Domain) -> torch.nn.Module:
        """Cuts out the same slices again; `record` is {"removed": [[tensor, dimension, [index, ...]], ...], ...}."""
        return cut(module, record["removed"])

    @property
    def _budget(self) -> tuple[str, float]:
        """Which budget it is, and how large."""
        given = {name: size for name in BUDGETS if (size := getattr(self, name)) is not None}
        return next(iter(given.items()), ("macs", MACS))

    def _cut(self, model: Model, whole: Model, share: float, context: Context) -> Model:
        """The model without the units that go, once the budget is to be kept to so large a share."""
        noted = context.scratch / "cut.json"  # a resumed round has to cut what it had cut: no time is measured twice alike
        if not noted.is_file():
            write_atomic(noted, json.dumps(self._choice(model, whole, share, context)).encode())
        choice = json.loads(noted.read_text())
        step = {"technique": "prune_structured", "record": {"removed": choice["removed"], "left": choice["left"]}}
        return replace(
            model,
            module=cut(model.module, choice["removed"] + choice["by_option"]),
            family=replace(model.family, options=choice["options"]),
            surgery=(*model.surgery, step),
        )

    def _choice(self, model: Model, whole: Model, share: float, context: Context) -> Json:
        """What goes, as JSON; Unsupported where the budget is out of reach."""
        kind, budget = self._budget
        left = self._left(kind, whole, context)
        cost = parameter_bytes(model) if kind == "bytes" else macs(model)

        def without(gone: list[Step]) -> Model:
            module = cut(copy.deepcopy(model.module), removed(gone))
            return replace(model, module=module, family=resized(model.family, module, gone))

        # Only Taylor's scores are of one unit, the loss's, in all layers: those can be held against what each unit costs.
        saving = (lambda step: 1 - cost(without([step]))) if self.importance == "taylor" else None
        steps = ranked(tied(model.module, model.family, model.domain), self._score(model, context), saving)
        if not steps:
            judged = f"that could go and that importance {self.importance!r} judges"
            raise Unsupported(f"prune_structured: {model.family.name} has no unit {judged}")

        def gone(count: int) -> list[Step]:
            return evened(steps[:count], self.multiple)

        least = left(without(gone(len(steps))))
        if least > budget:
            raise Unsupported(
                f"prune_structured: {kind} = {budget:g} is out of reach: {least:.3g} of it is left when no layer can lose more"
            )
        goal = 1 - share * (1 - budget)
        finest = FINEST if kind == "latency" else None
        count, found = fewest(lambda count: left(without(gone(count))), (len(steps), least), goal, finest)
        going = gone(count)
        return {
            "removed": removed(going, option=False),
            "by_option": removed(going, option=True),
            "options": without(going).family.options,
            "left": {kind: found, **({"runtime": self.runtime} if kind == "latency" else {})},
        }

    def _left(self, kind: str, whole: Model, context: Context) -> Left:
        if kind == "latency":
            return latency(whole, self.runtime, context)
        return macs(whole) if kind == "macs" else parameter_bytes(whole)

    def _score(self, model: Model, context: Context) -> Score:
        if self.importance == "magnitude":
            return magnitude(model.module)
        if self.importance == "batchnorm":
            return batchnorm(model.module)
        return taylor(model.module, model.family.build(), _batches(context))


def _batches(context: Context) -> Iterator[dict[str, torch.Tensor]]:
    """Some of the training split's batches, as they come in an epoch."""
    import numpy as np
    import torch

    order = np.random.default_rng(context.seed).permutation(context.data.size("train"))
    size = context.train.batch
    for start in range(0, max(1, min(BATCHES, len(order) // size)) * size, size):
        batch = context.data.batch("train", order[start : start + size])
        yield {name: torch.from_numpy(array) for name, array in batch.items()}
