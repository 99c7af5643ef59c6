"""What a model minds, on data that it has learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from pipeline.core import Context, Model, Train
from pipeline.sensitivity import sensitivity
from pipeline.train import fit


def test_a_weight_on_the_grid_already_is_not_minded_and_one_with_an_outlier_is_and_the_model_is_left_as_it_was(
    untrained: Callable[..., Model], context: Context
) -> None:
    model = untrained("mlp", hidden=[16, 16])
    fit(model.module, model.family.build(), Train(epochs=2, batch=32), context)
    first, second, _ = (each for each in model.module.parameters() if each.dim() == 2)
    first.data.copy_((first.data * 7 / first.abs().amax(1, keepdim=True)).round() / 7)
    first.data[0] = 0
    bias = next(each for each in model.module.parameters() if each.dim() == 1)
    bias.data[0] = -1  # a unit that never fires
    second.data[:, 0] = 100 * second.abs().max()  # weights that nothing comes through; their neighbours are rounded to nothing
    before = {name: each.clone() for name, each in model.module.state_dict().items()}
    found = sensitivity(replace(model, module=model.module.eval()), context.data)
    names = [name for name, each in model.module.named_parameters() if each.dim() == 2]
    assert list(found) == sorted(names, key=lambda name: -model.module.get_parameter(name).numel())
    assert found[names[0]] < 1e-4 < 1e-2 < found[names[1]]
    assert all(torch.equal(each, before[name]) for name, each in model.module.state_dict().items())
