"""A model trained and asked by itself, outside of recipes and the store: for benches, and for judges that teach."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.core import Arrays, Context, Dataset, Family, Model, Spec, Task, Train
from pipeline.evaluate import collect, module_predictors
from pipeline.facts import measure
from pipeline.progress import silent
from pipeline.train import fit


def trained(spec: Spec, data: Dataset, options: Train, seed: int) -> Model:
    """A reference as the one training loop makes it; the caller's random state stays as it was."""
    import torch

    family: Family = spec.build()
    with torch.random.fork_rng(devices=[]), TemporaryDirectory() as scratch:
        torch.manual_seed(seed)
        module = family.build(data.domain)
        family.begin(module, data, seed)
        model = Model(spec, data.domain, module, measure(family.graphs(module, data.domain)))
        fit(module, family, options, Context(data, options, model, seed, Path(scratch), silent))
    return model


def asked(model: Model, data: Dataset, task: Task | None = None, samples: int | None = None) -> Arrays:
    """The evidence of the test split (its first `samples`), by torch and for the family's own judge unless another is given."""
    family: Family = model.family.build()
    predictors = module_predictors(family.graphs(model.module, data.domain))
    return collect(task or family.task(data.domain), predictors, data, "test", samples)
