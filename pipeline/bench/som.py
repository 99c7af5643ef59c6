"""Is our self-organizing map as good as MiniSom's? `python -m pipeline.bench.som` trains both on the digits, side by side.

The same map size, the same standardised training samples, the same number of presentations (one sample a step), prototypes
that start as training samples, the same seeds. MiniSom runs twice: with its defaults (sigma 1), and with its sigma set to
our first radius. Errors are of the test split: the mean Euclidean distance to the nearest prototype. Lower is better, and
ours should be no more than 5 % above the better of the two.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from models.data.digits import Digits
from models.som import SOM
from models.tasks.vector_quantization import VectorQuantization
from pipeline.alone import asked, trained
from pipeline.core import Array, Arrays, Dataset, Json, Spec, Train
from pipeline.evaluate import collect
from pipeline.files import write_atomic
from pipeline.registry import ROOT

SEEDS = 5
MARGIN = 0.05
"""How far our mean error may lie above MiniSom's."""


def ours(data: Dataset, family: SOM, train: Train, seed: int) -> Arrays:
    """The evidence of a map that the one training loop made."""
    return asked(trained(Spec("model", "som", asdict(family)), data, train, seed), data)


def theirs(data: Dataset, family: SOM, epochs: int, seed: int, sigma: float) -> Arrays:
    """The evidence of MiniSom's map, by our judge."""
    import numpy as np
    from minisom import MiniSom

    samples = _samples(data, "train")
    found = MiniSom(family.rows, family.columns, samples.shape[1], sigma=sigma, random_seed=seed)
    found.random_weights_init(samples)
    found.train(samples, epochs * len(samples), random_order=True)
    codebook: Array = found.get_weights().reshape(-1, samples.shape[1])

    def predict(inputs: Arrays) -> Arrays:
        given = inputs["image"].reshape(len(inputs["image"]), 1, -1)
        order = np.linalg.norm(given - codebook, axis=2).argsort(axis=1)
        return {"unit": order[:, 0], "second": order[:, 1], "prototype": codebook[order[:, 0]]}

    return collect(family.task(data.domain), {"map": predict}, data, "test")


def _samples(data: Dataset, split: str) -> Array:
    image = data.batch(split, slice(None))["image"]
    return image.reshape(len(image), -1)


def compare(seeds: int, console: Console) -> Json:
    """Every contender from every seed."""
    data, family = Digits().load(Path()), SOM()
    train: Train = family.presets["full"]
    contenders: dict[str, Callable[[int], Arrays]] = {
        "edgepress": lambda seed: ours(data, family, train, seed),
        "minisom": lambda seed: theirs(data, family, train.epochs, seed, sigma=1.0),
        f"minisom, sigma {family.first_radius:g}": lambda seed: theirs(data, family, train.epochs, seed, family.first_radius),
    }
    runs: dict[str, list[Json]] = {name: [] for name in contenders}
    for seed in track(range(seeds), description="seeds", console=console):
        for name, run in contenders.items():
            start = time.monotonic()
            runs[name].append(_figures(family.task(data.domain), run(seed)) | {"seconds": time.monotonic() - start})
    return {
        "map": [family.rows, family.columns],
        "presentations": train.epochs * data.size("train"),
        "runs": runs,
        "ratio": ratio({name: [each["quantization_error"] for each in found] for name, found in runs.items()}),
        "versions": {"minisom": version("minisom"), "torch": version("torch"), "python": platform.python_version()},
    }


def _figures(task: VectorQuantization, evidence: Arrays) -> Json:
    return {task.metric: task.value(evidence), **{detail.metric: detail.value for detail in task.details(evidence)}}


def ratio(errors: dict[str, list[float]]) -> float:
    """Our mean error over that of the best of the others."""
    means = {name: mean(values) for name, values in errors.items()}
    return means.pop("edgepress") / min(means.values())


def table(summary: Json) -> Table:
    """What a person reads: each contender's errors, mean and deviation over the seeds."""
    found = f"ours / the better one's error: {summary['ratio']:.3f}, at most {1 + MARGIN:g} wanted"
    met = "[green]met[/]" if summary["ratio"] <= 1 + MARGIN else "[red]missed[/]"
    size = "x".join(map(str, summary["map"]))
    rows = Table(title=f"SOM of {size}, digits, {summary['presentations']} presentations", caption=f"{found}: {met}")
    for heading in ("", "quantization error", "topographic error", "seconds"):
        rows.add_column(heading, justify="right" if heading else "left")
    for name, runs in summary["runs"].items():
        rows.add_row(name, *(_spread(runs, figure) for figure in ("quantization_error", "topographic_error", "seconds")))
    return rows


def _spread(runs: list[dict[str, Any]], figure: str) -> str:
    values = [run[figure] for run in runs]
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def main() -> None:
    """Runs the comparison, prints its table, writes its JSON."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.bench.som", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/som.json")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    console = Console()
    summary = compare(given.seeds, console)
    write_atomic(given.out, json.dumps(summary, indent=1).encode())
    console.print(table(summary))
    console.print(f"written to {given.out}")


if __name__ == "__main__":
    main()
