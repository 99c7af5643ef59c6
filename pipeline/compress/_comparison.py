"""What of a student is held against what of its teacher, on one batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from pipeline.compress._attention_maps import AttentionMaps
from pipeline.compress._distances import attended, divergence, soft, squared, transfer
from pipeline.compress._hidden_layers import Seen, hidden, paired
from pipeline.core import Family, Unsupported

Kind = Literal["logits", "features", "attention", "outputs"]
WHAT = {
    "logits": "logits",
    "features": "hidden layers",
    "attention": "attention, or feature maps [N, channels, H, W]",
    "outputs": "outputs that are learned",
}
REGRESSOR = "distill_regressor_"
"""Parameters of the student while it is trained, on its root: a submodule would be one more layer of an nn.Sequential."""


@dataclass(frozen=True)
class Look:
    """What a network shows on a batch: its outputs, what is compared, and the shapes of what could have been."""

    outputs: Mapping[str, torch.Tensor]
    seen: Seen
    has: str


@dataclass(frozen=True)
class Comparison:
    """How a kind of distillation compares. What does not fit is an Unsupported that names both sides."""

    kind: Kind
    temperature: float = 1.0
    layers: Mapping[str, str] = field(default_factory=dict)
    """By the student's layer the teacher's; none: paired in order."""

    def look(self, family: Family, module: nn.Module, batch: dict[str, torch.Tensor], names: Collection[str] = ()) -> Look:
        """The training pass; `names` are the layers to look at, of this module."""
        if self.kind in ("features", "attention"):
            return self._inside(family, module, batch, names)
        outputs = family.forward(module, batch)
        if self.kind == "logits":
            return Look(outputs, _calls(outputs, lambda name, each: name == "logits"), _shapes(_calls(outputs)))
        # An autoencoder's input is among its outputs, as is what a translation should have been.
        learned = _calls(outputs, lambda name, each: each.requires_grad or not torch.is_grad_enabled())
        return Look(outputs, learned, _shapes(_calls(outputs)))

    def _inside(self, family: Family, module: nn.Module, batch: dict[str, torch.Tensor], names: Collection[str]) -> Look:
        maps = AttentionMaps(module)
        with hidden(module, names) as seen, maps if self.kind == "attention" else nullcontext():
            outputs = family.forward(module, batch)
        if not names:  # the layer whose output is the network's is not hidden
            last = {each.data_ptr() for each in outputs.values()}
            seen = {name: calls for name, calls in seen.items() if calls[0].data_ptr() not in last}
        has = _shapes(seen or _calls(outputs))
        if self.kind == "features":
            return Look(outputs, seen, has)
        strong = {name: [attended(each) for each in calls] for name, calls in seen.items() if calls[0].dim() == 4}
        maps_seen = {name: calls for name, calls in maps.seen.items() if name in names or not names}
        return Look(outputs, {**strong, **maps_seen}, has)

    def pairs(self, ours: Look, theirs: Look) -> list[tuple[str, str]]:
        """(student's, teacher's) names of what is compared, of shapes that can be."""
        for who, look in (("student", ours), ("teacher", theirs)):
            lacking = [name for name in self._named(who) if name not in look.seen]
            if lacking or not look.seen:
                found = f"layer {lacking[0]!r} of the {who} has none" if lacking else f"the {who} has {look.has}"
                raise Unsupported(f"distill: kind = {self.kind!r} compares {WHAT[self.kind]}; {found}")
        pairs = list(self.layers.items()) or self._paired(ours, theirs)
        if not pairs:
            raise Unsupported(f"distill: the student has {ours.has} and the teacher has {theirs.has}")
        for mine, learned in pairs:
            self._refuse_unlike(mine, ours.seen[mine], learned, theirs.seen[learned])
        return pairs

    def distance(self, module: nn.Module, ours: Look, theirs: Look) -> torch.Tensor:
        """The mean over all pairs; `module` is the student, with the regressors of its features."""
        found: list[torch.Tensor] = []
        for index, (mine, learned) in enumerate(self.pairs(ours, theirs)):
            for student, teacher in zip(ours.seen[mine], theirs.seen[learned], strict=True):
                found.append(self._apart(_regressed(module, index, student), teacher))
        return torch.stack(found).mean()

    def attach(self, module: nn.Module, ours: Look, theirs: Look, seed: int) -> None:
        """Gives the student a linear regressor for each pair of features of unequal width (1x1 of a feature map)."""
        generator = torch.Generator().manual_seed(seed)
        for index, (mine, learned) in enumerate(self.pairs(ours, theirs)):
            width, wanted = ours.seen[mine][0].shape[-1], theirs.seen[learned][0].shape[-1]
            if width != wanted:
                weight = torch.randn(wanted, width, generator=generator) / width**0.5
                module.register_parameter(f"{REGRESSOR}{index}_weight", nn.Parameter(weight))
                module.register_parameter(f"{REGRESSOR}{index}_bias", nn.Parameter(torch.zeros(wanted)))

    def _named(self, who: str) -> Collection[str]:
        return self.layers.keys() if who == "student" else self.layers.values()

    def _paired(self, ours: Look, theirs: Look) -> list[tuple[str, str]]:
        if self.kind in ("features", "attention"):
            return paired(ours.seen, theirs.seen)
        return [(name, name) for name in ours.seen] if ours.seen.keys() <= theirs.seen.keys() else []

    def _apart(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        if self.kind == "logits":
            return soft(student, teacher, self.temperature)
        if self.kind == "attention":
            return transfer(student, teacher) if student.dim() == 2 else divergence(student, teacher)
        return squared(student, teacher)

    def _refuse_unlike(self, mine: str, ours: list[torch.Tensor], learned: str, theirs: list[torch.Tensor]) -> None:
        """Features may differ in their width, nothing else in anything."""
        last = -1 if self.kind == "features" else None
        if [each.shape[:last] for each in ours] != [each.shape[:last] for each in theirs]:
            hint = "; name layers that fit, layers = { student = teacher }" if self.kind in ("features", "attention") else ""
            found = f"{_shapes({mine: ours})} in the student and {_shapes({learned: theirs})} in the teacher"
            raise Unsupported(f"distill: kind = {self.kind!r} compares {found}{hint}")


def detach(module: nn.Module) -> None:
    """Takes the regressors away again."""
    for name in [name for name, _ in module.named_parameters(recurse=False) if name.startswith(REGRESSOR)]:
        delattr(module, name)


def _regressed(module: nn.Module, index: int, features: torch.Tensor) -> torch.Tensor:
    weight = getattr(module, f"{REGRESSOR}{index}_weight", None)
    return features if weight is None else nn.functional.linear(features, weight, getattr(module, f"{REGRESSOR}{index}_bias"))


def _calls(outputs: Mapping[str, torch.Tensor], wanted: Callable[[str, torch.Tensor], bool] = lambda *_: True) -> Seen:
    return {name: [each] for name, each in outputs.items() if wanted(name, each)}


def _shapes(seen: Seen) -> str:
    return ", ".join(f"{name} {list(calls[0].shape)}" for name, calls in seen.items())
