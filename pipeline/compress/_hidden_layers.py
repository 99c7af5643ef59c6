"""What a network's hidden layers put out, and which of a student's are held against which of a teacher's."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from pipeline.errors import unknown

Seen = dict[str, list[torch.Tensor]]
"""By the name of a layer (or of an output), in the order in which they came: a tensor a call."""


@contextmanager
def hidden(module: nn.Module, names: Collection[str] = ()) -> Iterator[Seen]:
    """What these layers put out while the block runs, channels last: [N, H, W, C] of a feature map, else as it is.

    Of a layer that puts out several things it is the first. Without names the layers are `parts` of the module.
    """
    layers = dict(module.named_modules())
    for name in names:
        if name not in layers or not name:
            raise unknown("layer", name, [each for each in layers if each], "distill: layers")
    seen: Seen = {}

    def watch(name: str) -> Any:
        def note(layer: nn.Module, given: Any, made: Any) -> None:
            first = made[0] if isinstance(made, tuple) else made
            if isinstance(first, torch.Tensor) and first.is_floating_point():
                seen.setdefault(name, []).append(first.movedim(1, -1) if first.dim() == 4 else first)

        return layers[name].register_forward_hook(note)

    hooks = [watch(name) for name in names or parts(module)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def parts(module: nn.Module, prefix: str = "") -> list[str]:
    """The module's own parts that hold weights (norms hold scales); lists, and what holds one, are opened."""
    found: list[str] = []
    for name, part in module.named_children():
        if isinstance(part, nn.ModuleList) or any(isinstance(each, nn.ModuleList) for each in part.children()):
            found += parts(part, f"{prefix}{name}.")
        elif any(parameter.dim() >= 2 for parameter in part.parameters()):
            found.append(prefix + name)
    return found


def paired(ours: Collection[str], theirs: Collection[str]) -> list[tuple[str, str]]:
    """(student's, teacher's) layers, both given in the order of their calls.

    Names that differ in their numbers alone are a row of layers. Of n in the student and m in the teacher the k-th learns from
    the ceil(k m / n)-th, so that the last learns from the last (Jiao et al. 2020, "TinyBERT", arXiv:1909.10351).
    """
    rows, their_rows = _rows(ours), _rows(theirs)
    return [
        (name, their_rows[row][-(-(index + 1) * len(their_rows[row]) // len(names)) - 1])
        for row, names in rows.items()
        if row in their_rows
        for index, name in enumerate(names)
    ]


def _rows(names: Collection[str]) -> Mapping[str, list[str]]:
    found = defaultdict[str, list[str]](list)
    for name in names:
        found[re.sub(r"\d+", "#", name)].append(name)
    return found
