"""Applies one technique to a model."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from pipeline import facts, model_file
from pipeline.core import Context, Json, Technique, Train
from pipeline.steps.common import Input, Tools, dataset, spec


def run(task: Json, inputs: list[Input], folder: Path, tools: Tools) -> Json:
    """Writes the compressed model's files; `inputs` are the model and the reference it descends from.

    What the technique itself added to the history, facts by name, is `noted` beside its options.
    """
    model, reference = (model_file.load(given.folder) for given in inputs)
    data = dataset(task)
    chosen = spec(task["technique"])
    technique: Technique = chosen.build()
    context = Context(data, Train(**task["train"]), reference, task["seed"], tools.scratch, tools.progress, task["device"])
    compressed = technique.apply(model, context)
    family = compressed.family.build()
    graphs = family.graphs(compressed.module, data.domain)
    size, travels = facts.measure(graphs), min(compressed.facts.weight_bits, facts.coded_bits(graphs))
    measured = replace(compressed.facts, parameters=size.parameters, macs=size.macs, coded_bits=travels)
    compressed = replace(compressed, facts=measured)
    noted = {name: value for said in compressed.history[len(model.history) :] for name, value in said.items()}
    compressed = replace(compressed, history=model.history)
    compressed = compressed.after({**noted, "step": chosen.name, "options": chosen.options, "device": task["device"]})
    model_file.save(compressed, folder)
    return {"facts": asdict(compressed.facts), "noted": noted}
