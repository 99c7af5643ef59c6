"""What do a recipe's generators teach? `python -m pipeline.bench.generators pipeline/recipes/mnist_diffusion.toml` asks them.

Exported files make some pictures, one by one; here the trained models make two for every sample of the test split, by torch
and many at once: 20,000 on MNIST. The score that counts is the accuracy on that split of a LeNet-5 taught by these pictures
alone (CAS, Ravuri & Vinyals 2019, arXiv:1905.10887). The models are those that `edgepress run` has made and kept; `--variant`
asks a compressed one before it was exported: what fewer steps cost, not what int8 does.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.tasks._generated import Generated
from pipeline import model_file
from pipeline.alone import asked
from pipeline.core import Dataset, Detail, Family, Json, Model
from pipeline.errors import UserError, told, unknown
from pipeline.files import write_atomic
from pipeline.places import data_root, store_root
from pipeline.plan import make
from pipeline.recipe import REFERENCE, Recipe, read
from pipeline.registry import ROOT, names
from pipeline.sources import version
from pipeline.store import Store


def judged(model: Model, data: Dataset, samples: int | None = None) -> tuple[Detail, ...]:
    """The metric and all that stands beside it, of two pictures for each of the test split's (first `samples`) rows."""
    family: Family = model.family.build()
    task = family.task(data.domain)
    if not isinstance(task, Generated):
        raise UserError(f"{model.family.name}: makes no pictures of classes; it is judged by {task.metric}")
    every = replace(task, every=1)
    evidence = asked(model, data, every, samples)
    return (Detail(task.metric, every.value(evidence), *every.interval(evidence)), *every.details(evidence))


def made(recipe: Recipe, store: Store, variant: str = REFERENCE) -> dict[str, Model]:
    """A recipe's models by their names in it, as the variant has them. UserError for one that was not made yet."""
    cells, found = make(recipe, "cpu", data_root(), dict.fromkeys(names("runtime"))).cells, {}
    if variant not in (there := {cell.variant for cell in cells}):
        raise unknown("variant", variant, there, recipe.path.name)
    for cell in cells:
        if cell.variant == variant:
            if store.get(cell.model_keys[-1]) is None:
                raise UserError(
                    f"{cell.model}: {variant}: not made yet; ./edgepress run {recipe.path} --preset {recipe.preset} makes it"
                )
            found[cell.model] = model_file.load(store.path(cell.model_keys[-1]))
    return found


def table(title: str, details: Iterable[Detail]) -> Table:
    """What a person reads."""
    rows = Table("", "value", "95 % interval", title=title)
    for detail in details:
        known = detail.low is not None and detail.high is not None
        rows.add_row(detail.metric, f"{detail.value:.4g}", f"{detail.low:.4g} to {detail.high:.4g}" if known else "")
    return rows


def count(text: str) -> int:
    """A number of samples as it was typed, for argparse."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"found {text}; a whole number above 0 is wanted")
    return int(text)


def about(recipe: Recipe, data: Dataset, samples: int | None) -> Json:
    """What a bench's figures were had with."""
    known = {"recipe": recipe.name, "recipe_sha256": recipe.sha256, "preset": recipe.preset, "torch": version("torch")}
    return {**known, "samples": min(samples or data.size("test"), data.size("test"))}


def main() -> None:
    """Judges each of the recipe's models, prints a table of each, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.bench.generators", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--preset", choices=("quick", "full"))
    parser.add_argument("--variant", default=REFERENCE)
    parser.add_argument("--samples", type=count, help="of the test split; all unless it is said")
    parser.add_argument("--out", type=Path, help="build/bench/generators-RECIPE-VARIANT.json unless it is said")
    given = parser.parse_args()
    console, summary = Console(), dict[str, Json]()
    recipe = read(given.recipe, given.preset)
    data: Dataset = recipe.data.build().load(data_root())
    for name, model in made(recipe, Store(store_root()), given.variant).items():
        start = time.monotonic()
        found = judged(model, data, given.samples)
        summary[name] = {"seconds": time.monotonic() - start, "found": [asdict(detail) for detail in found]}
        console.print(table(f"{name}: {summary[name]['seconds']:.0f} s", found))
    out = given.out or ROOT / f"build/bench/generators-{recipe.name}-{given.variant.replace(' ', '_')}.json"
    head = {**about(recipe, data, given.samples), "variant": given.variant}
    write_atomic(out, json.dumps({**head, "models": summary}, indent=1).encode())
    console.print(f"written to {out}")


if __name__ == "__main__":
    told(main)
