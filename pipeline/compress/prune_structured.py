"""Structured pruning: whole channels, units and hidden states go, so that every runtime gets smaller tensors."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, final

from annotated_types import Ge, Gt, Lt

from pipeline.compress._weights import kept_zeros
from pipeline.core import Context, Domain, Facts, Json, Model, Promise, Technique
from pipeline.facts import measure

if TYPE_CHECKING:
    import torch


@final
@dataclass(frozen=True)
class PruneStructured(Technique):
    """Removes the groups of coupled channels whose weights have the smallest root-mean-square norm.

    The groups come from DepGraph (Fang et al. 2023, arXiv:2301.12900; the Torch-Pruning library). A group's importance is
    I = sqrt(mean over its coupled weight slices of ||w||^2), normalised by its layer's mean so that layers compare. Pruning
    goes in `rounds` equal cuts of the multiply-accumulates, an epoch of fine-tuning after each and the rest after the last.

    It does not pay where a layer's latency is bound by its calls rather than by its products (tiny models, batch 1), and
    latency falls less than the multiply-accumulates do.
    """

    sparsity: Annotated[float, Gt(0), Lt(1)] = 0.5
    """Fraction of the multiply-accumulates to remove: 0.6 leaves at most 40 %."""
    rounds: Annotated[int, Ge(1)] = 3
    epochs: Annotated[int, Ge(1)] | None = None
    """Of fine-tuning, over all rounds together; None: half of the model's preset."""
    learning_rate: Annotated[float, Gt(0)] | None = None

    def apply(self, model: Model, context: Context) -> Model:
        """The pruned and fine-tuned model."""
        from pipeline.train import fit, part, tuning

        family = model.family.build()
        module = copy.deepcopy(model.module)
        records: list[Json] = []
        options = tuning(context.train, self.epochs, self.learning_rate)
        # A short recovery between cuts and a long one at the end.
        shares = [1] * (self.rounds - 1) + [max(1, options.epochs - self.rounds + 1)]
        for index, epochs in enumerate(shares):
            kept = 1 - self.sparsity * (index + 1) / self.rounds
            records.append(_cut(module, family, model.domain, kept * model.facts.macs))
            progress = part(context.progress, sum(shares[:index]), sum(shares))
            inner = replace(context, scratch=context.scratch / f"round-{index}", progress=progress)
            zeros = kept_zeros(module)
            fit(module, family, replace(options, epochs=epochs), inner, pace=zeros)
            zeros(module, 1.0)
        surgery = ({"technique": "prune_structured", "record": record} for record in records)
        return replace(
            model, module=module, surgery=(*model.surgery, *surgery), facts=measure(family.graphs(module, model.domain))
        )

    def promise(self, before: Facts, after: Facts) -> Promise:
        """Bytes fall with the parameters, time with the multiply-accumulates."""
        return Promise(
            after.parameters / before.parameters,
            after.macs / before.macs,
            ("file", "bundle", "latency"),
        )

    def replay(self, module: torch.nn.Module, record: Json, domain: Domain) -> torch.nn.Module:
        """Removes the same channels again; `record` is {"removed": [[layer, output side, [index, ...]], ...]}."""
        import torch_pruning

        inputs = _example(domain)
        graph = torch_pruning.DependencyGraph().build_dependency(module, inputs, customized_pruners=_recurrent())
        graph.load_pruning_history(record["removed"])
        return module


def _cut(module: torch.nn.Module, family: Any, domain: Domain, budget: float) -> Json:
    """Prunes in place, a few channels at a time, until one inference needs at most `budget` multiply-accumulates."""
    import torch
    import torch_pruning

    steps = 200
    pruner = torch_pruning.pruner.BasePruner(
        module,
        _example(domain),
        importance=_importance,
        global_pruning=True,
        pruning_ratio=1.0,
        max_pruning_ratio=0.95,  # no layer is emptied
        iterative_steps=steps,
        ignored_layers=_outputs(module, domain),
        customized_pruners=_recurrent(),
        root_module_types=[torch.nn.Conv2d, torch.nn.Linear, torch.nn.GRU],
    )
    for _ in range(steps):
        if measure(family.graphs(module, domain)).macs <= budget:
            break
        pruner.step()
    return {"removed": _merged(pruner.pruning_history())}


def _merged(history: list[Any]) -> list[Any]:
    """One removal a layer out of many small ones, whose indices count the channels that were left at the time."""
    removed: dict[tuple[str, bool], list[int]] = {}
    for name, output, index in history:
        gone = removed.setdefault((name, bool(output)), [])
        originals = []
        for place in index:
            original = int(place)
            for earlier in sorted(gone):
                original += earlier <= original
            originals.append(original)
        gone += originals
    return [[name, output, sorted(gone)] for (name, output), gone in removed.items()]


def _outputs(module: torch.nn.Module, domain: Domain) -> list[torch.nn.Module]:
    """The layers that make the classes: their outputs are the task's and stay."""
    import torch

    return [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear) and layer.out_features == domain.classes]


def _importance(group: Any) -> torch.Tensor:
    """Root mean square of a group's coupled slices, divided by the group's mean: float [channels of the group's root]."""
    import torch

    total, count = (torch.zeros(len(group[0].idxs)) for _ in range(2))
    for item in group:
        norms = _slice_norms(item.dep, item.idxs)
        if norms is not None:  # behind a flattening a channel has many slices: `root_idxs` says whose each is
            owners = torch.tensor(item.root_idxs)
            total.index_add_(0, owners, norms)
            count.index_add_(0, owners, torch.ones_like(norms))
    root = (total / count.clamp(min=1)).sqrt()
    return root / root.mean().clamp(min=1e-12)


def _slice_norms(dependency: Any, index: list[int]) -> torch.Tensor | None:
    """Mean squared weight of each pruned slice of one layer; None for layers that have no weight of their own."""
    import torch

    layer: Any = dependency.target.module
    kind = type(layer)
    output = dependency.handler.__name__ == "prune_out_channels"
    if issubclass(kind, torch.nn.GRU):
        squares = layer.weight_hh_l0.detach() ** 2  # [3 * hidden, hidden]; the three gates of a unit go together
        return (squares.view(3, layer.hidden_size, -1).mean((0, 2)) + squares.mean(0))[index] / 2 if output else None
    if issubclass(kind, (torch.nn.Conv2d, torch.nn.Linear)):
        weight = layer.weight.detach()
        flat = weight.flatten(1) if output else weight.transpose(0, 1).flatten(1)
        norms: torch.Tensor = (flat[index] ** 2).mean(1)
        return norms
    return None


def _example(domain: Domain) -> tuple[torch.Tensor, ...]:
    import torch

    return tuple(torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in domain.inputs.values())


def _recurrent() -> dict[Any, Any]:
    """Torch-Pruning knows no GRU: this is how one loses hidden units."""
    import torch
    from torch_pruning.pruner.function import BasePruningFunc

    class GRUPruner(BasePruningFunc):  # type: ignore[misc]  # the library has no types
        TARGET_MODULES = torch.nn.GRU

        def prune_out_channels(self, layer: Any, idxs: list[int]) -> Any:
            kept = torch.tensor(sorted(set(range(layer.hidden_size)) - set(idxs)))
            rows = torch.cat([kept + gate * layer.hidden_size for gate in range(3)])
            for name, parameter in list(layer.named_parameters()):
                smaller = parameter.detach()[rows]
                smaller = smaller[:, kept] if name.startswith("weight_hh") else smaller
                setattr(layer, name, torch.nn.Parameter(smaller.clone()))
            layer.hidden_size = len(kept)
            return layer

        def prune_in_channels(self, layer: Any, idxs: list[int]) -> Any:
            kept = torch.tensor(sorted(set(range(layer.input_size)) - set(idxs)))
            layer.weight_ih_l0 = torch.nn.Parameter(layer.weight_ih_l0.detach()[:, kept].clone())
            layer.input_size = len(kept)
            return layer

        def get_out_channels(self, layer: Any) -> int:
            return int(layer.hidden_size)

        def get_in_channels(self, layer: Any) -> int:
            return int(layer.input_size)

    return {torch.nn.GRU: GRUPruner()}
