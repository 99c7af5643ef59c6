"""Low-rank factorization: matrices and kernels become products of thin ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, final

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from pipeline.compress._called import only_called
from pipeline.compress._factors import Ranks, Table, factorizable, factorized, structure, table
from pipeline.compress._tuning import tuned
from pipeline.core import Context, Domain, Facts, Json, Model, Outlook, Promise, Technique, Unsupported
from pipeline.errors import UserError, unknown
from pipeline.facts import measure

if TYPE_CHECKING:
    import torch

Rank = Annotated[int, Ge(1)]
ENERGY = 0.9
"""What is kept where no option says how much."""
ROUNDING = 1e-12
"""Of an energy: all of it is 1 only up to the last bits of a sum."""


@final
@dataclass(frozen=True)
class LowRank(Technique):
    """W ~ U V with U [outputs, r] and V [r, inputs], r(outputs + inputs) weights instead of outputs * inputs.

    Linear layers, embeddings and 1x1 convolutions by truncated SVD (Eckart & Young 1936), each factor with the square roots
    of the singular values. Kernels [outputs, inputs, h, w] by Tucker-2 (Kim et al. 2016, arXiv:1511.06530): a 1x1
    convolution to r2 channels, an h x w one from r2 to r1, a 1x1 one to the outputs, with HOSVD's bases of the two modes.
    The error of a layer is the share of its squared singular values (for kernels: of its squared weights) that is lost.
    Then the whole is trained on. Layers of which factors have no fewer weights stay as they are, as do those that are not
    only called: attention in nn.MultiheadAttention, recurrent layers, and embeddings that make the logits too.

    It does not pay where spectra are flat, as those of small layers mostly are, nor on depthwise convolutions, and hardly in
    time at batch 1: one call becomes two or three. An embedding's lookup becomes a product, so its work even grows.
    """

    energy: Annotated[float, Gt(0), Le(1)] | None = None
    """Share of each layer's squared singular values to keep; 0.9 when no other option says how much."""
    budget: Annotated[float, Gt(0), Lt(1)] | None = None
    """Fraction of all parameters to keep instead. Ranks end in every layer where one more weight saves the same error."""
    rank: dict[str, Rank | tuple[Rank, Rank]] = field(default_factory=dict)
    """Instead of both: the ranks of the layers to factorize, by their names; [output, input] for a kernel."""
    epochs: Annotated[int, Ge(0)] | None = None
    """Of fine-tuning; 0: none. None: half of the model's preset."""
    learning_rate: Annotated[float, Gt(0)] | None = None

    def __post_init__(self) -> None:
        """Two answers to one question are refused."""
        given = [name for name in ("energy", "budget", "rank") if getattr(self, name)]
        if len(given) > 1:
            raise UserError(f"low_rank: {' and '.join(given)} each say what is kept; give one of energy, budget and rank")

    def check(self, outlook: Outlook) -> None:
        """Refuses names of layers that are none, and ranks that a layer cannot have."""
        if self.rank:
            module = outlook.module()
            _named(self.rank, _tables(module, [name for name, layer in module.named_modules() if name and factorizable(layer)]))

    def apply(self, model: Model, context: Context) -> Model:
        """The factorized and fine-tuned model."""
        import torch

        from pipeline.train import tuning

        family = model.family.build()
        module = copy.deepcopy(model.module)
        batch = {name: torch.from_numpy(array) for name, array in context.data.batch("train", slice(0, 2)).items()}
        names = only_called(module, family, model.domain, batch, factorizable)
        chosen = self._chosen(_tables(module, names), model.facts.parameters)
        for name, ranks in chosen.items():
            module.set_submodule(name, factorized(module.get_submodule(name), ranks))
        if self.epochs != 0:
            tuned(module, family, tuning(context.train, self.epochs, self.learning_rate), context)
        record = {"layers": {name: list(ranks) for name, ranks in chosen.items()}}
        surgery = (*model.surgery, {"technique": "low_rank", "record": record})
        return replace(model, module=module, surgery=surgery, facts=measure(family.graphs(module, model.domain)))

    def promise(self, before: Facts, after: Facts) -> Promise:
        """Bytes fall with the parameters, time at best with the multiply-accumulates."""
        return Promise(
            after.parameters / before.parameters, after.macs / before.macs, ("file", "bundle", "latency of wide layers")
        )

    def replay(self, module: torch.nn.Module, record: Json, domain: Domain) -> torch.nn.Module:
        """Puts factors of the same shapes in the layers' places; `record` is {"layers": {name: [rank, ...]}}."""
        for name, ranks in record["layers"].items():
            module.set_submodule(name, structure(module.get_submodule(name), tuple(ranks)))
        return module

    def _chosen(self, tables: dict[str, Table], parameters: int) -> dict[str, Ranks]:
        """The ranks of the layers that gain; Unsupported where none does, or where the budget is out of reach."""
        if self.rank:
            return _named(self.rank, tables)
        if self.budget:
            chosen = _within(self.budget, parameters, tables)
        else:
            chosen = {name: _keeping(self.energy or ENERGY, each) for name, each in tables.items()}
        chosen = {name: ranks for name, ranks in chosen.items() if tables[name].at(ranks) < tables[name].dense}
        if not chosen:
            raise Unsupported(
                f"low_rank: of {len(tables)} layers that could be factorized none has fewer weights with "
                f"{self.energy or ENERGY:g} of its energy"
            )
        return chosen


def _tables(module: torch.nn.Module, names: list[str]) -> dict[str, Table]:
    return {name: table(module.get_submodule(name)) for name in names}


def _named(rank: Mapping[str, int | tuple[int, int]], tables: dict[str, Table]) -> dict[str, Ranks]:
    """The ranks that were asked for, each of a layer that can have it and gains by it."""
    chosen: dict[str, Ranks] = {name: ranks if isinstance(ranks, tuple) else (ranks,) for name, ranks in rank.items()}
    for name, ranks in chosen.items():
        if name not in tables:
            raise unknown("layer", name, tables, "low_rank: rank")
        most, dense = tables[name].parameters.shape, tables[name].dense
        if len(ranks) != len(most):
            has = "two ranks, [output, input]," if len(most) == 2 else "one rank,"
            raise UserError(f"low_rank: layer {name!r} has {has} at most {_written(most)}; found {_written(ranks)}")
        if any(asked > each for asked, each in zip(ranks, most, strict=True)):
            raise UserError(f"low_rank: rank {_written(ranks)} of layer {name!r} is above its own, {_written(most)}")
        if tables[name].at(ranks) >= dense:
            found = f"{tables[name].at(ranks)} weights instead of {dense}"
            raise UserError(f"low_rank: rank {_written(ranks)} of layer {name!r} gains nothing ({found}); choose a lower one")
    return chosen


def _written(ranks: Ranks) -> str:
    return str(ranks[0]) if len(ranks) == 1 else str(list(ranks))


def _keeping(energy: float, layer: Table) -> Ranks:
    """The fewest weights that keep this share of the energy."""
    enough = layer.error <= 1 - energy + ROUNDING
    return layer.ranks(int(np.where(enough, layer.parameters, np.inf).argmin()))


def _paying(price: float, layer: Table) -> Ranks:
    """The ranks at which one more weight would save less error than its price."""
    return layer.ranks(int((layer.error + price * layer.parameters).argmin()))


def _within(budget: float, parameters: int, tables: dict[str, Table]) -> dict[str, Ranks]:
    """The ranks at the lowest price of a weight, the same in all layers, at which the budget is kept: by bisection."""

    def left(price: float) -> int:
        return parameters - sum(max(0, each.dense - each.at(_paying(price, each))) for each in tables.values())

    low, high = 1e-15, 1.0  # at 1 a single weight costs all the error that there can be
    if left(high) > budget * parameters:
        least = f"{left(high)} of {parameters} parameters are left when every layer that can be factorized has rank 1"
        raise Unsupported(f"low_rank: budget = {budget:g} is out of reach: {least}")
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if left(middle) <= budget * parameters else (middle, high)
    chosen = {name: _paying(high, each) for name, each in tables.items()}
    return _spent(budget * parameters - left(high), chosen, tables)


def _spent(left: float, chosen: dict[str, Ranks], tables: dict[str, Table]) -> dict[str, Ranks]:
    """The weights that are left over because ranks are whole go where one of them saves most error."""
    while True:
        steps = [_step(left, name, chosen[name], each) for name, each in tables.items()]
        saved, cost, name, ranks = max(steps, default=(0.0, 0, "", ()))
        if saved <= 0:
            return chosen
        left, chosen = left - cost, {**chosen, name: ranks}


def _step(left: float, name: str, ranks: Ranks, layer: Table) -> tuple[float, int, str, Ranks]:
    """The step of one layer that saves most error a weight and fits: (that error, the step's weights, the layer, its ranks)."""
    have = layer.at(ranks)
    if have >= layer.dense:
        return 0.0, 0, name, ranks
    more = np.minimum(layer.parameters, layer.dense) - have
    saved = layer.lost(ranks) - np.where(layer.parameters < layer.dense, layer.error, 0)
    worth = np.where((more > 0) & (more <= left), saved / np.maximum(more, 1), 0)
    best = int(worth.argmax())
    return float(worth.flat[best]), int(more.flat[best]), name, layer.ranks(best)
