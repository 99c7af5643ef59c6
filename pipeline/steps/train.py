"""Trains a full-precision reference model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from pipeline import facts, model_file
from pipeline.core import Context, Json, Model, Train
from pipeline.export import _trace as trace
from pipeline.steps.common import Input, Tools, dataset, spec
from pipeline.train import fit


def run(task: Json, inputs: list[Input], folder: Path, tools: Tools) -> Json:
    """Writes the model's files; its facts are {"facts", "training"}."""
    import torch

    data, family_spec = dataset(task), spec(task["model"])
    family = family_spec.build()
    torch.manual_seed(task["seed"])
    module = family.build(data.domain)
    family.begin(module, data, task["seed"])
    graphs = family.graphs(module, data.domain)
    for graph in graphs.values():
        trace.run(graph, trace.examples(graph))
    options = Train(**task["train"])
    model = Model(family_spec, data.domain, module, facts.measure(graphs))
    context = Context(data, options, model, task["seed"], tools.scratch, tools.progress, task["device"])
    training = fit(module, family, options, context)
    step = {
        "step": "train",
        "model": family_spec.name,
        "options": family_spec.options,
        "train": task["train"],
        "seed": task["seed"],
    }
    model = model.after({**step, "device": task["device"], **training})
    model_file.save(model, folder)
    return {"facts": asdict(model.facts), "training": training}
