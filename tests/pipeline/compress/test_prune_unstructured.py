"""Unstructured pruning: as many zeros as asked, where the scores say, kept by whatever trains later, real in the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from pipeline.compress import prune_unstructured
from pipeline.compress._weights import weights, zeros
from pipeline.compress.distill import Distill
from pipeline.compress.prune_unstructured import PruneUnstructured, _score
from pipeline.core import Context, Model, Spec, Technique, Unsupported
from pipeline.errors import UserError
from pipeline.export.onnx_ import Onnx

Build = Callable[..., Model]


def shares(model: Model) -> list[float]:
    """Of each tensor, the fraction that is zero."""
    return [float((each == 0).float().mean()) for each in weights(model.module).values()]


@pytest.mark.parametrize("scores", ["global", "layer", "lamp", "movement"])
def test_as_many_weights_as_asked_are_zero_and_no_bias(untrained: Build, context: Context, scores: Any) -> None:
    pruned = PruneUnstructured(sparsity=0.7, scores=scores, epochs=1).apply(untrained(), context)
    count = sum(each.numel() for each in weights(pruned.module).values())
    assert zeros(pruned.module) == int(0.7 * count)
    assert all(bool((each != 0).all()) for name, each in pruned.module.named_parameters() if name.endswith("bias"))
    assert pruned.module.state_dict().keys() == untrained().module.state_dict().keys()


def test_per_layer_scores_give_every_tensor_the_same_share(untrained: Build, context: Context) -> None:
    pruned = PruneUnstructured(sparsity=0.6, scores="layer", epochs=1).apply(untrained(), context)
    assert shares(pruned) == pytest.approx([0.6] * 3, abs=2e-3)  # whole weights: a thousandth of the last layer's 1,000


def test_lamp_is_the_papers_formula_and_empties_no_layer_where_global_scores_do(untrained: Build, context: Context) -> None:
    found = _score(torch.tensor([3.0, -1.0, 0.5, 2.0]), "lamp")
    assert found.tolist() == pytest.approx([1.0, 1 / 14, 0.25 / 14.25, 4 / 13])
    model = untrained()
    with torch.no_grad():
        model.module[3].weight.mul_(1e-6)
    kept = {
        scores: PruneUnstructured(sparsity=0.9, scores=scores, epochs=1, learning_rate=1e-9).apply(model, context)
        for scores in ("global", "lamp")
    }
    assert shares(kept["global"])[1] == 1.0
    assert shares(kept["lamp"])[1] < 0.99


def test_movement_is_the_papers_sum_and_says_what_goes(
    untrained: Build, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-w dL/dw over the steps, held against gradients taken anew; what goes at the first cut is what has the least of it."""
    model, sums = untrained(hidden=[12]), dict[str, torch.Tensor]()
    family, cuts = model.family.build(), list[tuple[float, float]]()

    def watched(module: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        value: torch.Tensor = family.loss(family.forward(module, batch), batch)
        found = torch.autograd.grad(value, list(weights(module).values()), retain_graph=True)
        for (name, weight), gradient in zip(weights(module).items(), found, strict=True):
            sums[name] = sums.get(name, torch.zeros_like(weight)) - weight.detach() * gradient
        return value

    step = PruneUnstructured(sparsity=0.5, scores="movement", ramp=1.0, epochs=1)
    cut = PruneUnstructured._cut

    def cutting(self: PruneUnstructured, module: torch.nn.Module, share: float) -> None:
        before = zeros(module)
        cut(self, module, share)
        if zeros(module) > before and not cuts and sums:
            every = torch.cat([sums[name].flatten() for name in weights(module)])
            gone = torch.cat([(weight == 0).flatten() for weight in weights(module).values()])
            cuts.append((float(every[gone].max()), float(every[~gone].min())))

    monkeypatch.setattr(PruneUnstructured, "_cut", cutting)
    monkeypatch.setattr(prune_unstructured, "taught", lambda *_: watched)
    step.apply(model, context)
    ((went, stayed),) = cuts
    assert went <= stayed + 1e-7


def test_two_of_four_neighbours_stay_and_the_largest(untrained: Build, context: Context) -> None:
    model = untrained(hidden=[30, 10])  # 30 inputs: seven groups and a leftover of two
    pruned = PruneUnstructured(pattern=(2, 4), epochs=1, learning_rate=1e-9).apply(model, context)
    before, after = (list(weights(each.module).values())[1].detach() for each in (model, pruned))
    groups, kept = (each[:, :28].reshape(10, 7, 4) for each in (before, after))
    assert bool(((kept != 0).sum(2) == 2).all())
    assert torch.equal(kept.abs().amax(2) > 0, groups.abs().amax(2) > 0)
    assert torch.allclose(kept.abs().amax(2), groups.abs().amax(2), rtol=1e-3)
    assert bool((after[:, 28:] != 0).all())


def test_the_sparsity_rises_along_the_cubic(untrained: Build, context: Context) -> None:
    step, seen = PruneUnstructured(sparsity=0.8, ramp=0.5, epochs=4), list[tuple[float, float]]()
    total = sum(each.numel() for each in weights(untrained().module).values())
    pace = PruneUnstructured._pace

    class Watched(PruneUnstructured):  # type: ignore[misc]  # final for the registry's sake
        def _pace(self, module: torch.nn.Module, done: float) -> None:
            pace(self, module, done)
            seen.append((done, zeros(module) / total))

    Watched(**vars(step)).apply(untrained(), context)
    for done, share in seen:
        t = min(1.0, done / 0.5)
        assert share == pytest.approx(0.8 * (1 - (1 - t) ** 3), abs=0.8 * 0.03 + 1 / total)  # a cut is 1 % of the ramp, slope 3


def test_a_later_distillation_keeps_the_zeros(untrained: Build, context: Context, tmp_path: Path) -> None:
    pruned = PruneUnstructured(sparsity=0.9, epochs=1).apply(untrained(), context)
    tuned = Distill(epochs=1).apply(pruned, replace(context, scratch=tmp_path / "later"))
    for name, each in weights(pruned.module).items():
        after = weights(tuned.module)[name]
        assert not after[each == 0].any()
        assert not torch.equal(each, after)


def test_a_killed_step_goes_on_as_if_nothing_had_been(goes_on: Callable[[Technique], list[float]]) -> None:
    assert min(goes_on(PruneUnstructured(sparsity=0.8, epochs=3))) >= 1.0


def test_a_killed_movement_goes_on_as_if_nothing_had_been(goes_on: Callable[[Technique], list[float]]) -> None:
    assert min(goes_on(PruneUnstructured(sparsity=0.8, scores="movement", epochs=3))) >= 1.0


def test_zeros_are_zeros_in_the_exported_file(untrained: Build, context: Context, tmp_path: Path) -> None:
    pruned = PruneUnstructured(sparsity=0.9, epochs=1).apply(untrained("lenet5"), context)
    graph = pruned.family.build().graphs(pruned.module, pruned.domain)["classifier"]
    (file,) = Onnx().export(pruned, graph, tmp_path / "classifier", [], {})
    arrays = [numpy_helper.to_array(each) for each in onnx.load(file).graph.initializer]
    assert sum(int((array == 0).sum()) for array in arrays if array.dtype == np.float32) >= zeros(pruned.module)


def test_a_lottery_ticket_starts_where_the_training_did(untrained: Build, context: Context) -> None:
    initial = untrained(seed=context.seed)
    trained = untrained(seed=context.seed)
    with torch.no_grad():
        for each in trained.module.parameters():
            each.mul_(1.5).add_(0.01)
    ticket = PruneUnstructured(sparsity=0.5, scores="global", rewind=True, epochs=1, learning_rate=1e-9).apply(trained, context)
    for name, each in weights(ticket.module).items():
        kept = each != 0
        assert torch.allclose(each[kept], weights(initial.module)[name][kept], atol=1e-6)


def test_a_ticket_of_a_changed_structure_cannot_be_had(untrained: Build, context: Context) -> None:
    changed = replace(untrained(), surgery=({"technique": "prune_structured", "record": {"removed": []}},))
    with pytest.raises(Unsupported, match="structure was changed"):
        PruneUnstructured(rewind=True).apply(changed, context)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pattern": [2, 4], "sparsity": 0.5}, "leave sparsity out"),
        ({"pattern": [4, 4]}, "expected [N, M] with N < M"),
        ({"sparsity": 1.0}, "sparsity: Input should be less than 1 (found 1.0)"),
        ({"scores": "lmap"}, "did you mean 'lamp'?"),
        ({"scores": "movement", "pattern": [2, 4]}, "pattern zeroes before the first step, when nothing has moved"),
        ({"scores": "movement", "rewind": True}, "rewind zeroes before the first step, when nothing has moved"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as refused:
        Spec("technique", "prune_unstructured", options).build()
    assert words in str(refused.value)
