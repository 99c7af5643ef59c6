"""Which units there are in a model, and in which order they go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.compress import _channels, _heads, _hidden_units
from pipeline.compress._importance import Score
from pipeline.compress._slices import Group, Removal, merged
from pipeline.core import Domain, Spec
from pipeline.options import values

if TYPE_CHECKING:
    import torch

KEPT = 0.05
"""Of each group's units so many stay, and at least one: no layer is emptied."""


@dataclass(frozen=True)
class Tied:
    """Groups that lose as many units each: one goes of each of them at a time."""

    groups: tuple[Group, ...]
    option: bool = False
    """An option of the family says how many there are, because a state or a cache is of that size."""


Step = list[tuple[Tied, Group, int]]
"""Units that go together, each with its group."""


def tied(module: torch.nn.Module, family: Spec, domain: Domain) -> list[Tied]:
    """All units that can go. A model with attention loses heads and feed-forward units, any other what tracing couples.

    Where a graph's inputs are states, their size is an option of the family; without one the units behind them stay.
    """
    stateful, options = _stateful(module, family, domain), values(family.build())
    if attentions := _heads.heads(module):
        units = [Tied((group,)) for group in _heads.units(module)]
        if not stateful:
            return [*units, *(Tied((group,)) for group in attentions)]
        return [*units, *([Tied(tuple(attentions), True)] if "head_width" in options else [])]
    found = []
    for groups in _channels.groups(module, family, domain):
        hidden = stateful and any(".weight_hh_l" in each.tensor for group in groups for each in group.slices)
        if not hidden or "hidden" in options:
            found.append(Tied(tuple(groups), hidden))
    return found


def resized(family: Spec, module: torch.nn.Module, steps: list[Step]) -> Spec:
    """The family whose options say how large the states of a cut module are."""
    sizes: dict[str, object] = {}
    if any(each.option for step in steps for each, _, _ in step):
        for layer in _hidden_units.recurrent(module).values():
            sizes |= {"hidden": layer.hidden_size, "width": 1.0}
        for heads, dimensions in {shape for layer in module.modules() if (shape := _heads.shape(layer))}:
            sizes |= {"heads": heads, "head_width": dimensions}
    known = values(family.build())
    return replace(family, options={**family.options, **{name: size for name, size in sizes.items() if name in known}})


def ranked(all_tied: list[Tied], score: Score, saving: Callable[[Step], float] | None = None) -> list[Step]:
    """What goes, the least important first; where `saving` says what a step saves, the least important for that."""
    import math

    found: list[tuple[float, Step]] = []
    for each in all_tied:
        scores = [score(group) for group in each.groups]
        if any(one is None for one in scores):
            continue
        orders = [one.argsort(stable=True).tolist() for one in scores if one is not None]
        units = each.groups[0].units
        worth = saving([(each, group, 0) for group in each.groups]) if saving else 1.0
        if units < 2 or worth <= 0:
            continue
        for place in range(units - max(1, math.ceil(KEPT * units))):
            step = [(each, group, order[place]) for group, order in zip(each.groups, orders, strict=True)]
            mean = sum(float(one[unit]) for one, (_, _, unit) in zip(scores, step, strict=True) if one is not None) / len(step)
            found.append((mean / worth, step))
    return [step for _, step in sorted(found, key=lambda pair: pair[0])]


def evened(steps: list[Step], multiple: int) -> list[Step]:
    """Of these steps those after which every group has a multiple of so many units left, or all that it had."""
    by_group: dict[int, list[Step]] = {}
    for step in steps:
        by_group.setdefault(id(step[0][0]), []).append(step)
    found = []
    for of_group in by_group.values():
        units = of_group[0][0][1].units
        spare = (len(of_group) - units) % multiple  # beyond the last multiple that was reached
        found += of_group[: max(0, len(of_group) - spare)]
    return found


def removed(steps: list[Step], option: bool | None = None) -> list[Removal]:
    """What these steps cut out; with `option` only of the groups whose size an option says, or does not say."""
    gone: dict[int, tuple[Group, list[int]]] = {}
    for step in steps:
        for each, group, unit in step:
            if option is None or each.option == option:
                gone.setdefault(id(group), (group, []))[1].append(unit)
    return merged(part for group, units in gone.values() for part in group.without(units))


def _stateful(module: torch.nn.Module, family: Spec, domain: Domain) -> bool:
    """Whether a deployed graph has inputs that are not the data's."""
    known = {*domain.inputs, *domain.targets}
    graphs: dict[str, object] = family.build().graphs(module, domain)
    return any(name not in known for graph in graphs.values() for name in graph.inputs)  # type: ignore[attr-defined]
