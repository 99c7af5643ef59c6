"""Mixed precision: the assignment keeps its bound and beats every uniform one, by what was measured and said."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import train
from pipeline.compress._fake_quantization import rounded
from pipeline.compress._weights import weights
from pipeline.compress.mixed_precision import MixedPrecision, assigned
from pipeline.compress.prune_unstructured import PruneUnstructured
from pipeline.compress.quantize_weights import QuantizeWeights
from pipeline.core import Context, Domain, Model, Outlook, Precision, Spec, Train, Unsupported
from pipeline.errors import UserError
from pipeline.evaluate import module_predictor
from pipeline.sensitivity import errors

Build = Callable[..., Model]
OPTIONS = [8, 4, 3, 2]


@pytest.fixture
def trained(untrained: Build, context: Context, tmp_path: Path) -> Model:
    model = untrained()
    train.fit(model.module, model.family.build(), Train(epochs=6, batch=32), replace(context, scratch=tmp_path / "trained"))
    return model


def chosen(model: Model) -> dict[str, int]:
    found: dict[str, int] = model.history[-1]["chosen"]
    return found


def mean(model: Model) -> float:
    sizes = {name: each.numel() for name, each in weights(model.module).items()}
    return sum(sizes[name] * bits for name, bits in chosen(model).items()) / sum(sizes.values())


@settings(max_examples=60)
@given(st.data())
def test_an_assignment_keeps_its_bound_and_none_is_better(data: st.DataObject) -> None:
    tensors = data.draw(st.integers(1, 4))
    sizes = data.draw(st.lists(st.integers(1, 100_000), min_size=tensors, max_size=tensors))
    mean_bits = data.draw(st.floats(2, 8))
    rises = st.lists(st.floats(0, 10), min_size=len(OPTIONS), max_size=len(OPTIONS))
    losses = np.array(data.draw(st.lists(rises, min_size=tensors, max_size=tensors)))
    found = assigned(losses, sizes, OPTIONS, mean_bits)
    assert np.dot(found, sizes) <= mean_bits * sum(sizes) * (1 + 1e-9)

    def total(bits: Any) -> float:
        return float(sum(losses[row, OPTIONS.index(each)] for row, each in enumerate(bits)))

    every = itertools.product(OPTIONS, repeat=tensors)
    least = min(total(bits) for bits in every if np.dot(bits, sizes) <= mean_bits * sum(sizes))
    assert total(found) <= least + 1e-6 * losses.max()


def test_facts_count_what_files_store(trained: Model, context: Context) -> None:
    mixed = MixedPrecision(mean_bits=5, bits=(6, 3), samples=64).apply(trained, context)
    sizes = {name: each.numel() for name, each in weights(mixed.module).items()}
    held = {name: {6: 8, 3: 4}[bits] for name, bits in chosen(mixed).items()}
    assert set(held.values()) == {4, 8}
    every = dict(mixed.module.named_parameters())
    scales = 32 * sum(len(every[name]) for name in sizes)  # one an output channel
    floats = 32 * sum(each.numel() for name, each in every.items() if name not in sizes)
    total = scales + floats + sum(sizes[name] * held[name] for name in sizes)
    assert mixed.facts.weight_bits == pytest.approx(total / sum(each.numel() for each in every.values()))


def test_of_two_equal_assignments_the_smaller_is_taken() -> None:
    assert assigned(np.zeros((3, 4)), [100, 20, 3000], OPTIONS, mean_bits=6) == [2, 2, 2]


@pytest.mark.parametrize("mean_bits", [2, 3.3, 5, 8])
def test_the_model_has_the_bits_that_it_says(trained: Model, context: Context, mean_bits: float) -> None:
    mixed = MixedPrecision(mean_bits=mean_bits, bits=(8, 4, 3, 2), samples=64).apply(trained, context)
    assert mean(mixed) <= mean_bits
    assert mixed.precision == Precision("float", max(chosen(mixed).values()))
    alone = rounded(trained.module, chosen(mixed))
    assert all(torch.equal(each, weights(alone)[name]) for name, each in weights(mixed.module).items())
    found = mixed.history[-1]
    assert found["widths"] == OPTIONS
    assert found["errors"].keys() == found["chosen"].keys() == weights(trained.module).keys()
    assert all(row == sorted(row) for row in found["errors"].values())  # fewer bits, larger errors


def test_a_tensor_that_changes_nothing_gets_the_fewest_bits(trained: Model, context: Context) -> None:
    with torch.no_grad():
        trained.module[5].weight.zero_()  # the last layer: nothing that comes before it can be seen
    mixed = MixedPrecision(mean_bits=8, bits=(8, 2), samples=64).apply(trained, context)
    assert set(chosen(mixed).values()) == {2}


def test_a_quality_is_kept_with_fewer_bits_than_the_most(trained: Model, context: Context) -> None:
    family = trained.family.build()
    mixed = MixedPrecision(quality=0.02, bits=(8, 4, 2)).apply(trained, context)
    values = [train._validate(model.module, family, context) for model in (trained, mixed)]
    assert values[1] >= values[0] - 0.02
    assert mean(mixed) < 6
    generous = MixedPrecision(quality=1.0, bits=(8, 4, 2)).apply(trained, context)
    assert mean(generous) < 2.1


def test_a_quality_that_the_most_bits_lose_cannot_be_had(trained: Model, context: Context) -> None:
    with pytest.raises(Unsupported, match=r"quality: 3 bits for every weight already lose 0\.\d+ of the accuracy"):
        MixedPrecision(quality=0.0, bits=(3, 2)).apply(_shaken(trained), context)


def _shaken(model: Model) -> Model:
    """One large weight a row takes the whole grid."""
    with torch.no_grad():
        for each in weights(model.module).values():
            each[:, 0] = 40 * each.abs().amax()
    return model


def test_training_on_recovers_what_few_bits_lose(trained: Model, context: Context, tmp_path: Path) -> None:
    family = trained.family.build()
    batch = {key: torch.from_numpy(value) for key, value in context.data.batch("train", slice(None)).items()}

    def loss(epochs: int) -> float:
        step = MixedPrecision(mean_bits=2.1, bits=(8, 4, 2), epochs=epochs, samples=64)
        mixed = step.apply(trained, replace(context, scratch=tmp_path / str(epochs)))
        with torch.no_grad():
            return float(family.loss(family.forward(mixed.module, batch), batch))

    assert loss(3) < 0.7 * loss(0)


def test_what_was_pruned_stays_zero(trained: Model, context: Context, tmp_path: Path) -> None:
    pruned = PruneUnstructured(sparsity=0.8, epochs=1).apply(trained, replace(context, scratch=tmp_path / "pruned"))
    mixed = MixedPrecision(mean_bits=8, bits=(8, 7), epochs=1, samples=64).apply(pruned, replace(context, scratch=tmp_path / "m"))
    assert all(not weights(mixed.module)[name][each == 0].any() for name, each in weights(pruned.module).items())


def test_a_killed_step_goes_on_as_if_nothing_had_been(goes_on: Callable[..., list[float]]) -> None:
    seen = goes_on(MixedPrecision(epochs=3, samples=64), after=2.4)  # the first unit of its progress is measuring
    assert not [done for done in seen if 1.0 <= done < 2.0]
    assert max(seen) > 2.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mean_bits": 4, "quality": 0.01}, "give one"),
        ({"mean_bits": 3, "bits": [8, 4]}, "mean_bits 3 is below the fewest of bits, 4"),
        ({"mean_bits": 1.5}, "mean_bits: Input should be greater than or equal to 2"),
        ({"bits": [8, 1]}, "bits.1: Input should be greater than or equal to 2 (found 1)"),
        ({"bits": [16, 8]}, "less than or equal to 8 (found 16)"),
        ({"bits": [8, 8]}, "bits [8, 8] names one twice"),
        ({"bits": [8]}, "at least 2 items"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as refused:
        Spec("technique", "mixed_precision", options).build()
    assert words in str(refused.value)


def test_a_group_that_does_not_fit_is_refused_before_training() -> None:
    def domain() -> Domain:
        raise AssertionError("without a group nothing is read")

    outlook = Outlook(Spec("model", "lenet5"), {}, domain)
    MixedPrecision().check(outlook)


def test_a_group_is_held_against_every_weight(context: Context) -> None:
    outlook = Outlook(Spec("model", "mlp", {"hidden": [12]}), {}, lambda: context.data.domain)
    with pytest.raises(UserError, match=r"mixed_precision: group = 8 does not divide the inputs of \S+ \(12\)"):
        MixedPrecision(group=8).check(outlook)


def test_without_validation_samples_nothing_can_be_measured(trained: Model, context: Context) -> None:
    none = {name: array[:0] for name, array in context.data.splits["validation"].items()}
    data = replace(context.data, splits={**context.data.splits, "validation": none})
    with pytest.raises(Unsupported, match="the data set has none"):
        MixedPrecision().apply(trained, replace(context, data=data))


def test_each_error_is_of_one_tensor_alone(trained: Model, context: Context) -> None:
    found = errors(trained.module, trained.family.build(), context.data, list(weights(trained.module)), [4, 2], 64)
    images = torch.from_numpy(context.data.splits["validation"]["image"][:64])
    with torch.no_grad():
        wanted = trained.module(images)
        for row, name in zip(found, weights(trained.module), strict=True):
            for error, bits in zip(row, (4, 2), strict=True):
                lost = (rounded(trained.module, {name: bits})(images) - wanted).square().sum() / wanted.square().sum()
                assert error == pytest.approx(float(lost), rel=1e-3)


@pytest.mark.parametrize("name", ["onnx", "openvino", "tflite"])
def test_its_file_answers_as_the_module_and_is_smaller_than_eight_bits(
    trained: Model, context: Context, tmp_path: Path, name: str
) -> None:
    exporter = Spec("format", name).build()
    sizes = []
    for technique in (QuantizeWeights(), MixedPrecision(mean_bits=5, samples=64)):
        made = technique.apply(trained, context)
        graph = made.family.build().graphs(made.module, made.domain)["classifier"]
        files = exporter.export(made, graph, tmp_path / str(len(sizes)), [], {})
        sizes.append(sum(file.stat().st_size for file in files))
    runtime = {"onnx": "onnxruntime", "openvino": "openvino", "tflite": "litert"}[name]
    sample = {"image": context.data.splits["validation"]["image"][:1]}
    answers = [
        predict(sample)["logits"] for predict in (Spec("runtime", runtime).build().load(files, 1), module_predictor(graph))
    ]
    assert np.allclose(*answers, atol=exporter.tolerance)
    saved = (8 - mean(made)) / 8 * sum(each.numel() for each in weights(made.module).values())
    assert sizes[0] - sizes[1] == pytest.approx(saved, rel=0.02)
