"""Makes the eyes of models/_eye.py: `python -m pipeline.bench.eyes mnist` trains a classifier and keeps it with the project."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from models._eye import FOLDER
from models._picture import shape_of
from pipeline import model_file
from pipeline.alone import asked, trained
from pipeline.core import Dataset, Domain, Family, Spec, Train
from pipeline.errors import told
from pipeline.places import data_root

SMALL = Spec("model", "lenet5", {"channels": (16, 32), "hidden": 64})
"""LeNet-5 with so few features that ten thousand pictures say how they vary together."""
PHOTOGRAPHS = Spec("model", "resnet8")
EPOCHS = {"lenet5": 16, "resnet8": 12}
SEED = 0


def family_for(domain: Domain) -> Spec:
    """Of grey pictures and of coloured ones."""
    channels, *_ = shape_of(domain, "eyes", labelled=True)
    return SMALL if channels == 1 else PHOTOGRAPHS


def make(name: str, folder: Path, console: Console) -> None:
    """Trains the eye for a data set and writes it under `folder`."""
    data: Dataset = Spec("data", name).build().load(data_root())
    spec = family_for(data.domain)
    family: Family = spec.build()
    options: Train = replace(family.presets["full"], epochs=EPOCHS[spec.name])
    model = trained(spec, data, options, SEED)
    accuracy = family.task(data.domain).value(asked(model, data))
    home = folder / data.domain.name
    model_file.save(model.after({"trained_on": name, "epochs": options.epochs, "accuracy": accuracy}), home)
    console.print(f"{name}: {spec.name}, accuracy {100 * accuracy:.2f} % on its test split, in {home}")


def main() -> None:
    """The data sets named."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.bench.eyes", description=__doc__)
    parser.add_argument("data", nargs="+", help="data sets of labelled pictures")
    console = Console()
    for name in parser.parse_args().data:
        make(name, FOLDER, console)


if __name__ == "__main__":
    told(main)
