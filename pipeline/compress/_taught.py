"""Sequence-level distillation (Kim & Rush 2016): what the teacher writes is what the student learns to write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from models.data._subwords import END, PAD
from models.tasks.translation import Translation
from pipeline.core import Array, Context, Domain, Family, Model, Unsupported
from pipeline.evaluate import module_predictors
from pipeline.files import load_arrays, save_arrays

if TYPE_CHECKING:
    import torch

TAUGHT = "taught"
"""Of a training sample: its target as the teacher writes it."""
CHUNK = 256
"""Samples that are written at a time, and kept: bounds what a kill costs."""


def judge(family: Family, domain: Domain) -> Translation:
    """The task of a family that writes texts; Unsupported of all others."""
    task = family.task(domain)
    if not isinstance(task, Translation):
        found = f"{type(family).__name__} is judged by {task.metric}"
        raise Unsupported(f"distill: kind = 'sequence' compares texts that a translation writes; {found}")
    return task


def with_texts(context: Context, samples: int | None, beam: int) -> Context:
    """The context with what its reference writes of the first `samples` training sources; the others keep their own target."""
    data = context.data
    train = data.splits["train"]
    count = min(each or data.size("train") for each in (samples, context.train.samples, data.size("train")))
    parts: list[Array] = []
    for start in range(0, count, CHUNK):
        rows = slice(start, min(start + CHUNK, count))
        parts.append(_kept(context, rows, beam))
        context.progress(0, context.train.epochs, f"the teacher's texts, {rows.stop} of {count}")
    taught = np.concatenate([*parts, train["target"][count:]])
    return replace(context, data=replace(data, splits={**data.splits, "train": {**train, TAUGHT: taught}}))


def loss(family: Family, module: torch.nn.Module, batch: dict[str, torch.Tensor], weight: float) -> torch.Tensor:
    """weight * the family's own loss of the teacher's texts + (1 - weight) * that of the true ones; both only where needed."""
    total: Any = 0.0
    for share, target in ((weight, TAUGHT), (1 - weight, "target")):
        if share:
            given = {**batch, "target": batch[target]}
            total = total + share * family.loss(family.forward(module, given), given)
    found: torch.Tensor = total
    return found


def _kept(context: Context, rows: slice, beam: int) -> Array:
    """The teacher's texts of some samples, as targets are: int64 [N, length], padded behind their end. Written once a step."""
    path = context.scratch / f"{TAUGHT}_{rows.start}.npz"
    if not path.is_file():
        texts = _written(context.reference, context.data.batch("train", rows)["source"], beam)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"unfinished_{path.name}")
        save_arrays(unfinished, {TAUGHT: texts})
        unfinished.replace(path)
    return load_arrays(path)[TAUGHT]


def _written(teacher: Model, source: Array, beam: int) -> Array:
    family = teacher.family.build()
    predictors = module_predictors(family.graphs(teacher.module.eval(), teacher.domain))
    texts = replace(judge(family, teacher.domain), beam=beam).search(predictors, source)
    behind = np.cumsum(texts == END, axis=1) - (texts == END) > 0
    return np.where(behind, PAD, texts)
