"""Unstructured pruning: single weights become zeros, which gain bytes once the file is coded, and no time."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

from annotated_types import Ge, Gt, Le, Lt

from pipeline.compress._tuning import taught
from pipeline.compress._weights import weights
from pipeline.core import Context, Domain, Facts, Model, Promise, Spec, Technique, Unsupported
from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch

MASK, MOVEMENT = "pruning_mask_", "movement_of_"
CUTS = 100
"""The sparsity rises in so many cuts: scoring before every step would cost more than the steps."""


@final
@dataclass(frozen=True)
class PruneUnstructured(Technique):
    """Zeroes the weights of the smallest score while training on; of T steps' first `ramp`, step t has the sparsity

        s(t) = sparsity * (1 - (1 - t / (ramp * T))^3)                     (Zhu & Gupta 2017, arXiv:1710.01878)

    and the rest recovers. Scores of a weight w: `global` |w|, all tensors together; `layer` |w|, the same share of every
    tensor; `lamp` w^2 / (sum of v^2 over the v of its tensor with |v| >= |w|), all tensors together, which never empties a
    layer (Lee et al. 2021, arXiv:2010.07611); `movement` the sum of -w dL/dw over the steps so far, all tensors together: what
    training moves towards zero goes first, however large it is (Sanh et al. 2020, arXiv:2005.07683). Theirs lets a masked weight
    come back, by a straight-through gradient; here it is zero from then on, and its score stays what it was.

    Tensors of two or more dimensions are pruned, biases are not. A zero is a real zero in the stored weights and in every float
    file; later trainings of the chain keep it.

    It does not pay in time (no runtime here has sparse kernels) nor in the file's bytes; only what travels gets smaller, and
    well so only after `cluster`. N:M patterns are for hardware that has them (NVIDIA's sparse tensor cores take 2:4).
    """

    sparsity: Annotated[float, Gt(0), Lt(1)] | None = None
    """Fraction of the weights that are zero in the end; None: 0.9, or what the pattern says."""
    scores: Literal["global", "layer", "lamp", "movement"] = "lamp"
    pattern: tuple[Annotated[int, Ge(1)], Annotated[int, Ge(2)]] | None = None
    """[N, M]: of every M neighbours along the inputs the N largest stay, from the first step on. Leftovers stay dense."""
    ramp: Annotated[float, Gt(0), Le(1)] = 0.5
    """Fraction of the training during which the sparsity rises."""
    rewind: bool = False
    """Lottery ticket (Frankle & Carbin 2019, arXiv:1803.03635): prune at once, set the rest back to its initial values, train."""
    teacher: Annotated[float, Ge(0), Le(1)] = 0.0
    """Weight of the uncompressed reference's soft outputs in the loss, as in `distill`; 0 is the family's own loss."""
    epochs: Annotated[int, Ge(1)] | None = None
    """None: half of the model's preset; all of it for a lottery ticket."""
    learning_rate: Annotated[float, Gt(0)] | None = None

    def __post_init__(self) -> None:
        """Refuses options that contradict each other."""
        if self.pattern and self.sparsity is not None:
            raise UserError(f"prune_unstructured: pattern {list(self.pattern)} says how many are zero; leave sparsity out")
        if self.pattern and self.pattern[0] >= self.pattern[1]:
            raise UserError(f"prune_unstructured: pattern {list(self.pattern)} keeps all; expected [N, M] with N < M, as [2, 4]")
        if self.scores == "movement" and (self.pattern or self.rewind):
            other = "pattern" if self.pattern else "rewind"
            raise UserError(
                f"prune_unstructured: {other} zeroes before the first step, when nothing has moved; choose other scores"
            )

    def apply(self, model: Model, context: Context) -> Model:
        """The pruned and fine-tuned model."""
        from pipeline.train import fit, tuning

        family, module = model.family.build(), copy.deepcopy(model.module)
        epochs = self.epochs or (context.train.epochs if self.rewind else None)
        # The best epoch of a validation could be one that was not yet pruned: all epochs are run.
        options = replace(tuning(context.train, epochs, self.learning_rate), patience=None)
        for name, weight in _numbered(module):
            module.register_buffer(name, weight.detach() != 0)  # buffers, so that a resumed training has the same masks
        hooks = _watch_movement(module) if self.scores == "movement" else []
        if self.pattern or self.rewind:
            self._cut(module, 1.0)
        if self.rewind:
            _rewind(module, model, context)
        fit(module, family, options, context, loss=taught(family, context, self.teacher), pace=self._pace)
        self._pace(module, 1.0)
        for hook in hooks:
            hook.remove()
        for name in [name for name, _ in module.named_buffers() if name.startswith((MASK, MOVEMENT))]:
            delattr(module, name)
        return replace(model, module=module)

    def promise(self, before: Facts, after: Facts) -> Promise:
        """Neither the file nor the time changes; what travels does."""
        return Promise(1.0, 1.0, ("bundle",))

    def _pace(self, module: torch.nn.Module, done: float) -> None:
        """Zeroes what is masked; masks more when the schedule says so."""
        for name, weight in _numbered(module):
            weight.data.mul_(module.get_buffer(name))
        cut = int(CUTS * min(1.0, done / self.ramp)) / CUTS
        if not (self.pattern or self.rewind):
            self._cut(module, 1 - (1 - cut) ** 3)

    def _scores(self, module: torch.nn.Module) -> list[torch.Tensor]:
        """Of each tensor's weights, flat."""
        if self.scores == "movement":
            return [module.get_buffer(MOVEMENT + name).flatten() for name, _ in _numbered(module)]
        return [_score(weight.data.flatten(), self.scores) for _, weight in _numbered(module)]

    def _cut(self, module: torch.nn.Module, share: float) -> None:
        """Masks and zeroes `share` of what is to be zero in the end."""
        import torch

        tensors = [(module.get_buffer(name), weight.data) for name, weight in _numbered(module)]
        if self.pattern:
            masks = [_neighbours(weight, *self.pattern) & mask for mask, weight in tensors]
        else:
            sparsity = 0.9 if self.sparsity is None else self.sparsity
            every = torch.cat([mask.flatten() for mask, _ in tensors])
            count = int(share * sparsity * every.numel())
            if count <= int((~every).sum()):
                return
            scores = torch.cat(self._scores(module))
            every[scores.masked_fill(~every, -torch.inf).argsort(stable=True)[:count]] = False
            parts = torch.split(every, [mask.numel() for mask, _ in tensors])
            masks = [part.view_as(mask) for part, (mask, _) in zip(parts, tensors, strict=True)]
        for (mask, weight), fresh in zip(tensors, masks, strict=True):
            mask.copy_(fresh)
            weight.mul_(fresh)


def _watch_movement(module: torch.nn.Module) -> list[Any]:
    """Adds -w dL/dw to each weight's score as soon as a gradient is there: before the step that changes w. Returns the hooks."""
    import torch

    def watch(name: str, weight: torch.nn.Parameter) -> Any:
        module.register_buffer(MOVEMENT + name, torch.zeros_like(weight))  # a checkpoint holds it, as it holds the masks

        def add(parameter: torch.nn.Parameter) -> None:
            if parameter.grad is not None:
                module.get_buffer(MOVEMENT + name).sub_(parameter.detach() * parameter.grad)

        return weight.register_post_accumulate_grad_hook(add)  # type: ignore[no-untyped-call]

    return [watch(name, weight) for name, weight in _numbered(module)]


def _numbered(module: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    return [(f"{MASK}{index}", weight) for index, weight in enumerate(weights(module).values())]


def _score(weight: torch.Tensor, kind: str) -> torch.Tensor:
    """Scores of a tensor's weights [n], not negative, comparable over tensors; the smallest go first."""
    import torch

    if kind == "global":
        return weight.abs()
    order = weight.abs().argsort(stable=True)
    if kind == "layer":
        ranked = torch.arange(len(order), device=weight.device) / len(order)
    else:
        squares = weight[order].double() ** 2
        ranked = (squares / squares.flip(0).cumsum(0).flip(0).clamp(min=torch.finfo(torch.float64).tiny)).float()
    return torch.zeros_like(weight).scatter_(0, order, ranked)


def _neighbours(weight: torch.Tensor, n: int, m: int) -> torch.Tensor:
    """Bool like the weight: the n largest of every m along its inputs (all dimensions but the first)."""
    import torch

    rows = weight.abs().flatten(1)
    whole = rows.shape[1] // m * m
    groups = rows[:, :whole].reshape(len(rows), whole // m, m)
    mask = torch.ones_like(rows, dtype=torch.bool)
    kept = torch.zeros_like(groups, dtype=torch.bool).scatter_(2, groups.topk(n, dim=2).indices, True)
    mask[:, :whole] = kept.view(len(rows), whole)
    return mask.view_as(weight)


def _rewind(module: torch.nn.Module, model: Model, context: Context) -> None:
    """Sets what is not masked back to what it was before the reference's training."""
    initial = _initial(model.family, model.domain, context) if not model.surgery else None
    if initial is None or [each.shape for each in initial.parameters()] != [each.shape for each in module.parameters()]:
        raise Unsupported("a lottery ticket needs the weights that training began with, and this model's structure was changed")
    module.load_state_dict({**module.state_dict(), **initial.state_dict()})


def _initial(spec: Spec, domain: Domain, context: Context) -> Any:
    import torch

    torch.manual_seed(context.seed)  # as the training did
    family = spec.build()
    module = family.build(domain)
    family.begin(module, context.data, context.seed)
    return module
