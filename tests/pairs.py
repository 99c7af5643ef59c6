"""Which architectures our recipes train on which data: what the contract tests go through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.core import Spec, Train
from pipeline.recipe import RECIPES, read


@dataclass(frozen=True)
class Pair:
    """A model of a recipe and the data that it is trained on."""

    data: Spec
    family: Spec
    quick: Train

    def __str__(self) -> str:
        return f"{self.family.name}-{self.data.name}"


def pairs() -> list[Pair]:
    """Each pair once, whatever the number of recipes it is in."""
    found: dict[str, Pair] = {}
    for path in sorted(RECIPES.glob("*.toml")):
        recipe = read(path, "quick")
        for entry in recipe.models:
            pair = Pair(recipe.data, entry.family, entry.train)
            found.setdefault(str(pair), pair)
    return list(found.values())


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items() if each is not None) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
