"""A Model on disk: safetensors for its numbers, JSON for its structure. No pickle is written or read.

`model.json` names the family and its options and lists the surgery; `load` builds the family anew, replays the surgery and
then fills in the weights.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pipeline.core import Domain, Facts, Json, Model, Precision, Spec, TensorSpec
from pipeline.errors import UserError
from pipeline.files import file_sha256
from pipeline.registry import source_file

MODEL, WEIGHTS = "model.json", "weights.safetensors"


def save(model: Model, folder: Path) -> list[Path]:
    """Writes a model into a folder; returns its two files."""
    import safetensors.torch
    import torch

    body = {
        "family": asdict(model.family),
        "family_sha256": file_sha256(source_file("model", model.family.name)),
        "domain": asdict(model.domain),
        "facts": asdict(model.facts),
        "precision": asdict(model.precision) if model.precision else None,
        "surgery": list(model.surgery),
        "history": list(model.history),
        "adapter": list(model.adapter),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_text(json.dumps(body, indent=1, sort_keys=True))
    # Cloned, because safetensors refuses tensors that share memory (tied weights).
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.module.state_dict().items()
    }
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(state))
    return [folder / MODEL, folder / WEIGHTS]


def load(folder: Path) -> Model:
    """The model that `save` wrote, in evaluation mode on the CPU."""
    import safetensors.torch
    import torch

    body: Json = json.loads((folder / MODEL).read_text())
    family = Spec(**body["family"])
    _refuse_changed_user_file(family, body["family_sha256"])
    domain = _domain(body["domain"])
    with torch.random.fork_rng(devices=[]):  # building draws initial weights, which must not move the caller's seed
        module = family.build().build(domain)
    for operation in body["surgery"]:
        module = Spec("technique", operation["technique"]).build().replay(module, operation["record"], domain)
    module.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    return Model(
        family=family,
        domain=domain,
        module=module.eval(),
        facts=Facts(**body["facts"]),
        precision=Precision(**body["precision"]) if body["precision"] else None,
        surgery=tuple(body["surgery"]),
        history=tuple(body["history"]),
        adapter=tuple(body["adapter"]),
    )


def _domain(body: Json) -> Domain:
    named = {
        part: {name: TensorSpec(tuple(spec["shape"]), spec["dtype"]) for name, spec in body[part].items()}
        for part in ("inputs", "targets")
    }
    pixels = (body["pixels"][0], body["pixels"][1]) if body["pixels"] else None
    return Domain(body["name"], named["inputs"], body["classes"], named["targets"], tuple(body["vocabulary"]), pixels)


def _refuse_changed_user_file(family: Spec, recorded: str) -> None:
    """Ours are covered by the step's key; a user's own file may have been edited since, and would be run."""
    path = source_file("model", family.name)
    if family.name.endswith(".py") and (not path.is_file() or file_sha256(path) != recorded):
        raise UserError(f"model file {path} is not the one this model was made with; run the recipe again")
