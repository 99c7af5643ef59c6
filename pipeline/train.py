"""The one training loop: seeded to the bit, resumed after a kill at the last finished epoch, stopped early on validation."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core import Context, Dataset, Family, Json, Progress, Train
from pipeline.errors import UserError
from pipeline.evaluate import collect, module_predictors
from pipeline.files import write_atomic
from pipeline.stability import Watch

if TYPE_CHECKING:
    import torch

Batch = dict[str, "torch.Tensor"]
Loss = Callable[["torch.nn.Module", Batch], "torch.Tensor"]
Pace = Callable[["torch.nn.Module", float], None]
SECONDS_BETWEEN_CHECKPOINTS = 10.0


@dataclass
class _State:
    """All that changes during training, and so all that a checkpoint holds."""

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    watch: Watch = field(default_factory=Watch)
    epoch: int = 0
    stale: int = 0
    best_value: float | None = None
    best_weights: dict[str, torch.Tensor] | None = None


def fit(
    module: torch.nn.Module,
    family: Family,
    options: Train,
    context: Context,
    loss: Loss | None = None,
    pace: Pace | None = None,
) -> Json:
    """Trains `module` in place and returns what happened: {"epochs", "loss", "validation"}.

    `pace` follows the family's own before every step, with the fraction (0 to 1) of the training that is done: masks.

    Every random number comes from (seed, epoch), so that a run resumed at an epoch's start equals one that was never
    interrupted. With `patience` the weights of the best validation epoch are kept, otherwise those of the last.
    """
    import torch

    device = torch.device(context.device)
    memory = torch.channels_last if _has_convolution(module) else torch.contiguous_format
    module.to(device=device, memory_format=memory)  # type: ignore[call-overload]  # torch's stub lacks this overload
    optimizer = _optimizer(module, options)
    half_floats = options.mixed_precision == "fp16" and device.type == "cuda"
    state = _State(module, optimizer, torch.amp.GradScaler(device.type, enabled=half_floats))
    checkpoint = context.scratch / "checkpoint.safetensors"
    _load(state, checkpoint)
    loss = loss or (lambda net, batch: family.loss(family.forward(net, batch), batch))
    paces = [family.pace, *([pace] if pace else [])]
    started = saved = time.monotonic()
    last_loss = math.nan
    while state.epoch < options.epochs and (options.patience is None or state.stale <= options.patience):
        last_loss = _epoch(state, options, context, loss, memory, paces)
        state.epoch += 1
        if options.patience is not None:
            _keep_best(state, _validate(module, family, context), family.task(context.data.domain).higher_is_better)
        if time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
            _save(state, checkpoint)
            saved = time.monotonic()
    if time.monotonic() - started > SECONDS_BETWEEN_CHECKPOINTS:
        _save(state, checkpoint)  # a step of several trainings skips those that ended when it is resumed
    if state.best_weights is not None:
        module.load_state_dict(state.best_weights)
    module.to(device="cpu").eval()
    for parameter in module.parameters():
        # A clone, because `contiguous` keeps channels-last strides where a dimension of 1 makes them ambiguous, and then
        # activations stay channels-last, of which Torch-Pruning's tracer loses the thread.
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    task = family.task(context.data.domain)
    validation = _validate(module, family, context) if context.data.size("validation") else None
    return {"epochs": state.epoch, "loss": None if math.isnan(last_loss) else last_loss, task.metric: validation}


def part(progress: Progress, before: float, whole: float) -> Progress:
    """The progress of one of several trainings in a step, in epochs: so many came `before` it, of so many in all."""

    def report(done: float, total: float, what: str = "") -> None:
        progress(before + done, whole, what)

    return report


def tuning(preset: Train, epochs: int | None, learning_rate: float | None) -> Train:
    """Options for training on from a trained model: half of the preset's epochs unless it is said how many."""
    return replace(preset, epochs=epochs or max(1, preset.epochs // 2), learning_rate=learning_rate or preset.learning_rate)


def _epoch(state: _State, options: Train, context: Context, loss: Loss, memory: torch.memory_format, paces: list[Pace]) -> float:
    """One pass over the training split; returns the mean loss."""
    import torch

    data, seed, device = context.data, context.seed, torch.device(context.device)
    order = np.random.default_rng([seed, state.epoch]).permutation(min(data.size("train"), options.samples or data.size("train")))
    torch.manual_seed(seed * 100_003 + state.epoch)  # dropout and the like
    generator = torch.Generator().manual_seed(seed * 100_003 + state.epoch)
    steps = max(1, len(order) // options.batch)
    kind = torch.bfloat16 if options.mixed_precision == "bf16" else torch.float16
    autocast = torch.autocast(device.type, kind, enabled=options.mixed_precision != "off" and device.type == "cuda")
    state.module.train()
    total = 0.0
    for step in range(steps):
        batch = _batch(data, order[step * options.batch : (step + 1) * options.batch], options, generator, device, memory)
        _set_rate(state.optimizer, options, state.epoch * steps + step, options.epochs * steps)
        for pace in paces:
            pace(state.module, (state.epoch + step / steps) / options.epochs)
        with autocast:
            value = loss(state.module, batch)
        where = f"epoch {state.epoch + 1}, step {step + 1}"
        if not bool(torch.isfinite(value)):
            raise UserError(f"training: the loss is {value.item()} at {where}; lower the learning rate")
        norm = _descend(state, options, value)
        if math.isfinite(norm) or not state.scaler.is_enabled():  # which leaves out the steps of other gradients, and goes on
            state.watch.see(norm, where)
        total += float(value.detach())
        if step % 10 == 0:
            context.progress(
                state.epoch + step / steps, options.epochs, f"epoch {state.epoch + 1}, loss {total / (step + 1):.3f}"
            )
    return total / steps


def _batch(
    data: Dataset,
    index: np.ndarray[Any, Any],
    options: Train,
    generator: torch.Generator,
    device: torch.device,
    memory: torch.memory_format,
) -> Batch:
    import torch

    batch = {name: torch.from_numpy(array).to(device) for name, array in data.batch("train", index).items()}
    if options.augment and data.augment:
        batch = data.augment(batch, generator)
    return {name: tensor.contiguous(memory_format=memory) if tensor.dim() == 4 else tensor for name, tensor in batch.items()}


def _descend(state: _State, options: Train, loss: torch.Tensor) -> float:
    """One step; returns the gradient's norm before it was clipped."""
    import torch

    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    state.scaler.unscale_(state.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(state.module.parameters(), math.inf if options.clip is None else options.clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return float(norm)


def _optimizer(module: torch.nn.Module, options: Train) -> torch.optim.Optimizer:
    import torch

    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if options.optimizer == "sgd":
        return torch.optim.SGD(parameters, options.learning_rate, momentum=options.momentum, weight_decay=options.weight_decay)
    return torch.optim.AdamW(parameters, options.learning_rate, options.betas, weight_decay=options.weight_decay)


def _set_rate(optimizer: torch.optim.Optimizer, options: Train, step: int, steps: int) -> None:
    """Linear warm-up, then constant or half a cosine down to zero (Loshchilov & Hutter, 2017)."""
    rising = min(1.0, (step + 1) / max(1.0, options.warmup * steps))
    falling = 0.5 * (1 + math.cos(math.pi * step / steps)) if options.schedule == "cosine" else 1.0
    for group in optimizer.param_groups:
        group["lr"] = options.learning_rate * rising * falling


def _validate(module: torch.nn.Module, family: Family, context: Context) -> float:
    data = context.data
    predictors = module_predictors(family.graphs(module, data.domain))
    task = family.task(data.domain)
    return task.value(collect(task, predictors, data, "validation"))


def _keep_best(state: _State, value: float, higher_is_better: bool) -> None:
    value = value if higher_is_better else -value
    if state.best_value is None or value > state.best_value:
        state.best_value, state.stale = value, 0
        state.best_weights = copy.deepcopy(state.module.state_dict())
    else:
        state.stale += 1


def _has_convolution(module: torch.nn.Module) -> bool:
    import torch

    return any(isinstance(layer, torch.nn.Conv2d) for layer in module.modules())


def _save(state: _State, path: Path) -> None:
    """Writes a checkpoint: tensors as safetensors, the rest as JSON in its header."""
    import safetensors.torch
    import torch

    tensors = {f"module.{name}": tensor for name, tensor in state.module.state_dict().items()}
    for index, values in state.optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
    for name, tensor in (state.best_weights or {}).items():
        tensors[f"best.{name}"] = tensor
    scalars: Json = {
        "epoch": state.epoch,
        "stale": state.stale,
        "best_value": state.best_value,
        "scaler": state.scaler.state_dict(),
        "watch": vars(state.watch),
    }
    copies = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    write_atomic(path, safetensors.torch.save(copies, metadata={"state": json.dumps(scalars)}))


def _load(state: _State, path: Path) -> None:
    """Continues from a checkpoint, if there is one; its folder belongs to this training alone."""
    import safetensors

    if not path.is_file():
        return
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            scalars = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except (safetensors.SafetensorError, KeyError, ValueError):
        path.unlink()  # a damaged checkpoint costs time, not the run
        return
    state.module.load_state_dict(_with_prefix(tensors, "module."))
    moments: dict[int, dict[str, Any]] = {}
    for name, tensor in _with_prefix(tensors, "optimizer.").items():
        index, field = name.split(".", 1)
        moments.setdefault(int(index), {})[field] = tensor
    state.optimizer.load_state_dict({"state": moments, "param_groups": state.optimizer.state_dict()["param_groups"]})
    state.scaler.load_state_dict(scalars["scaler"])
    vars(state.watch).update(scalars["watch"])
    state.epoch, state.stale, state.best_value = scalars["epoch"], scalars["stale"], scalars["best_value"]
    state.best_weights = _with_prefix(tensors, "best.") or None


def _with_prefix(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
