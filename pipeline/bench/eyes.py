"""Makes the eyes of models/_eye.py: `python -m pipeline.bench.eyes mnist` trains a classifier and keeps it with the project."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from models._eye import FOLDER
from pipeline import model_file
from pipeline.core import Context, Domain, Family, Model, Spec, Train
from pipeline.evaluate import collect, module_predictor
from pipeline.facts import measure
from pipeline.places import data_root
from pipeline.progress import silent
from pipeline.quality import quality
from pipeline.train import fit

SMALL = Spec("model", "lenet5", {"channels": (16, 32), "hidden": 64})
"""LeNet-5 with so few features that ten thousand pictures say how they vary together."""
PHOTOGRAPHS = Spec("model", "resnet8")
EPOCHS = {"lenet5": 16, "resnet8": 12}
SEED = 0


def family_for(domain: Domain) -> Spec:
    """Of grey pictures and of coloured ones."""
    (spec,) = domain.inputs.values()
    return SMALL if spec.shape[1] == 1 else PHOTOGRAPHS


def make(name: str, folder: Path, console: Console) -> None:
    """Trains the eye for a data set and writes it under `folder`."""
    import torch

    data = Spec("data", name).build().load(data_root())
    spec = family_for(data.domain)
    family: Family = spec.build()
    options: Train = replace(family.presets["full"], epochs=EPOCHS[spec.name])
    torch.manual_seed(SEED)
    module = family.build(data.domain)
    family.begin(module, data, SEED)
    model = Model(spec, data.domain, module, measure(family.graphs(module, data.domain)))
    with TemporaryDirectory() as scratch:
        fit(module, family, options, Context(data, options, model, SEED, Path(scratch), silent))
    predictors = {part: module_predictor(graph) for part, graph in family.graphs(module, data.domain).items()}
    judge = family.task(data.domain)
    found = quality(judge, collect(judge, predictors, data, "test"))
    model_file.save(
        model.after({"trained_on": name, "epochs": options.epochs, "accuracy": found.value}), folder / data.domain.name
    )
    console.print(f"{name}: {spec.name}, accuracy {100 * found.value:.2f} % on its test split, in {folder / data.domain.name}")


def main() -> None:
    """The data sets named."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.bench.eyes", description=__doc__)
    parser.add_argument("data", nargs="+", help="data sets of labelled pictures")
    console = Console()
    for name in parser.parse_args().data:
        make(name, FOLDER, console)


if __name__ == "__main__":
    main()
