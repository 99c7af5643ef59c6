"""Distillation: each kind compares what its paper compares, and a student follows its teacher."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
from torch.nn import functional

from models.data._subwords import END, PAD
from pipeline import facts, train
from pipeline.compress import _taught as taught
from pipeline.compress.distill import Distill
from pipeline.core import Context, Dataset, Domain, Model, Outlook, Spec, Technique, TensorSpec, Train, Unsupported
from pipeline.errors import UserError

Build = Callable[..., Model]
SMALL = {"layers": 2, "heads": 2, "width": 16}
V, S, L = 20, 6, 7


def split(count: int, seed: int) -> dict[str, np.ndarray]:
    """Texts whose translation is the same text, one symbol up."""
    source = np.random.default_rng(seed).integers(4, V - 1, (count, S))
    source[:, -1] = END
    target = np.concatenate([source[:, :-1] + 1, np.full((count, 2), PAD)], axis=1)
    target[:, S - 1] = END
    return {"source": source, "target": target, "reference": np.zeros((count, 1), np.uint8)}


def language() -> Dataset:
    """A language to translate."""
    tokens = {"source": TensorSpec((1, S), "int64")}
    names = tuple(map(chr, range(97, 97 + V)))
    domain = Domain("pairs", tokens, V, {"target": TensorSpec((1, L), "int64")}, names)
    return Dataset(domain, {"train": split(320, 1), "validation": split(32, 2), "test": split(32, 3)}, "0" * 64)


@pytest.fixture
def pairs() -> Dataset:
    return language()


@pytest.fixture
def texts() -> Dataset:
    """Texts in two classes: which half of the symbols is more frequent."""
    tokens = np.random.default_rng(0).integers(1, V, (320, S))
    label = ((tokens > V // 2).sum(1) > S // 2).astype(np.int64)
    domain = Domain("texts", {"tokens": TensorSpec((1, S), "int64")}, 2, vocabulary=tuple(map(chr, range(97, 97 + V))))
    whole = {"tokens": tokens, "label": label}
    return Dataset(domain, {"train": whole, "validation": whole, "test": whole}, "0" * 64)


@pytest.fixture
def pictures(blobs: Dataset) -> Dataset:
    """Pictures of which some are anomalies."""
    splits = {name: {"image": arrays["image"], "kind": arrays["label"] % 2} for name, arrays in blobs.splits.items()}
    return replace(blobs, splits=splits)


@pytest.fixture
def data(request: pytest.FixtureRequest) -> Callable[[str], Dataset]:
    return request.getfixturevalue


def model(name: str, data: Dataset, seed: int, **options: Any) -> Model:
    """An untrained model with attention and hidden layers that differ from those of another seed."""
    spec = Spec("model", name, options)
    torch.manual_seed(seed)
    family = spec.build()
    module = family.build(data.domain)
    found = facts.measure(family.graphs(module, data.domain))
    return Model(spec, data.domain, module.eval(), found)


CASES = [
    (Distill(kind="logits"), "mlp", "blobs", {}),
    (Distill(kind="logits"), "transformer_seq2seq", "pairs", {**SMALL, "dropout": 0.0}),
    (Distill(kind="features"), "mlp", "blobs", {}),
    (Distill(kind="features", layers={"2": "2"}), "mlp", "blobs", {}),
    (Distill(kind="features"), "lenet5", "blobs", {}),
    (Distill(kind="features"), "gru_classifier", "blobs", {}),
    (Distill(kind="attention"), "lenet5", "blobs", {}),
    (Distill(kind="attention"), "transformer_encoder", "texts", {**SMALL, "dropout": 0.0}),
    (Distill(kind="attention"), "transformer_seq2seq", "pairs", {**SMALL, "dropout": 0.0}),
    (Distill(kind="outputs"), "autoencoder", "pictures", {}),
]
NAMES = [f"{step.kind}-{name}{'-named' if step.layers else ''}" for step, name, *_ in CASES]


@pytest.mark.parametrize(("step", "name", "source", "options"), CASES, ids=NAMES)
def test_a_student_that_is_its_teacher_has_no_loss_and_another_comes_closer(
    step: Distill, name: str, source: str, options: dict[str, Any], data: Callable[[str], Dataset], context: Context
) -> None:
    held, step = data(source), replace(step, weight=1.0, epochs=4)
    teacher, student = model(name, held, 1, **options), model(name, held, 2, **options)
    own = replace(context, data=held, reference=teacher)
    loss = step.loss(student.family.build(), own)
    batch = {key: torch.from_numpy(array) for key, array in held.batch("validation", slice(0, 32)).items()}
    assert abs(loss(copy.deepcopy(teacher.module), batch).item()) < 1e-6  # rounding of two passes that are the same
    before = loss(student.module, batch).item()
    assert before > 1e-6
    assert loss(step.apply(student, own).module, batch).item() < 0.8 * before


def losses(step: Distill, given: Model, context: Context) -> list[float]:
    """The mean losses of a training's epochs, at their ends, as it says them."""
    said: dict[str, float] = {}

    def progress(done: float, total: float, what: str = "") -> None:
        if found := re.fullmatch(r"epoch (\d+), loss (.+)", what):
            said[found[1]] = float(found[2])

    step.apply(given, replace(context, progress=progress))
    return list(said.values())


@pytest.mark.parametrize("name", ["mlp", "lenet5"])
def test_features_of_a_narrower_student_come_closer_through_regressors_that_do_not_stay(
    name: str, untrained: Build, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    teacher = untrained(name, seed=1)
    step = Distill(kind="features", student={"width": 0.5}, weight=1.0, epochs=6)
    own = replace(context, reference=teacher, scratch=tmp_path / "scratch")
    found = losses(step, untrained(name), own)
    assert found[-1] < 0.7 * found[0]
    with safetensors.safe_open(tmp_path / "scratch" / "checkpoint.safetensors", framework="pt") as file:
        assert {"module.distill_regressor_0_weight", "module.distill_regressor_1_bias"} <= set(file.keys())
    student = step.apply(untrained(name), own)
    assert student.module.state_dict().keys() == untrained(name, width=0.5).module.state_dict().keys()
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in student.module.modules())


def test_attention_transfer_is_that_of_the_paper(untrained: Build, context: Context) -> None:
    teacher, student = untrained("lenet5", seed=1), untrained("lenet5", seed=2, width=0.5)
    batch = {"image": torch.randn(5, 1, 8, 8), "label": torch.arange(5)}
    loss = Distill(kind="attention", layers={"0": "0"}, weight=1.0).loss(
        student.family.build(), replace(context, reference=teacher)
    )
    maps = [each.module[0](batch["image"]).square().sum(1).flatten(1) for each in (student, teacher)]
    ours, theirs = (each / each.norm(dim=1, keepdim=True) for each in maps)
    assert loss(student.module, batch).item() == pytest.approx((ours - theirs).norm(dim=1).square().mean().item(), rel=1e-4)


def test_layers_of_a_shallower_student_learn_from_the_deeper_ones_of_their_kind(pairs: Dataset, context: Context) -> None:
    teacher = model("transformer_seq2seq", pairs, 1, **{**SMALL, "layers": 4})
    student = model("transformer_seq2seq", pairs, 2, **SMALL)
    own = replace(context, data=pairs, reference=teacher)
    batch = {key: torch.from_numpy(array) for key, array in pairs.batch("train", slice(0, 8)).items()}

    def loss(**layers: str) -> float:
        step = Distill(kind="attention", layers={key.replace("_", "."): name for key, name in layers.items()}, weight=1.0)
        return step.loss(student.family.build(), own)(student.module, batch).item()

    parts = [
        loss(**{f"{row}_{layer}_{kind}": f"{row}.{2 * layer + 1}.{kind}"})
        for row, kind in (("encoder", "attention"), ("decoder", "attention"), ("decoder", "cross"))
        for layer in range(2)
    ]
    assert loss() == pytest.approx(np.mean(parts), rel=1e-4)


@pytest.mark.parametrize(
    "step",
    [Distill(kind="features", student={"width": 0.5}, epochs=3), Distill(student={"hidden": [32]}, epochs=3)],
    ids=["features", "logits"],
)
def test_a_killed_step_goes_on_as_if_nothing_had_been(step: Distill, goes_on: Callable[[Technique], list[float]]) -> None:
    assert min(goes_on(step)) >= 1.0


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Model]:
    """Translates, mostly right."""
    data = language()
    made = model("transformer_seq2seq", data, 0, **{**SMALL, "layers": 1, "width": 32, "dropout": 0.0})
    options = Train(epochs=6, batch=32, learning_rate=1e-2)
    own = Context(data, options, made, 0, tmp_path_factory.mktemp("teacher"), lambda *_: None)
    train.fit(made.module, made.family.build(), options, own)
    return data, made


@pytest.fixture
def lesson(translator: tuple[Dataset, Model], context: Context) -> Context:
    return replace(context, data=translator[0], reference=translator[1], train=Train(epochs=6, batch=32, learning_rate=1e-2))


def test_the_teacher_s_texts_become_targets_and_are_written_once(lesson: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taught, "CHUNK", 32)
    written = taught.with_texts(lesson, 48, 1).data.splits["train"]
    texts, true = written[taught.TAUGHT], written["target"]
    assert np.array_equal(texts[48:], true[48:]) and not np.array_equal(texts[:48], true[:48])
    assert (texts[:48] == true[:48]).mean() > 0.6, "the teacher writes what it has learned"
    ends = (texts == END).argmax(1)
    assert all((row[end + 1 :] == PAD).all() for row, end in zip(texts, ends, strict=True) if END in row)
    assert len(list(lesson.scratch.glob("taught_*.npz"))) == 2
    monkeypatch.setattr(taught, "_written", None)
    assert np.array_equal(taught.with_texts(lesson, 48, 1).data.splits["train"][taught.TAUGHT], texts)


def test_a_student_learns_to_write_what_its_teacher_writes(lesson: Context) -> None:
    step = Distill(kind="sequence", student={"layers": 1, "width": 16}, weight=1.0, samples=64)
    found = losses(step, lesson.reference, lesson)
    assert found[-1] < 0.8 * found[0]


def test_a_sequence_s_loss_is_that_of_the_teacher_s_texts_and_that_of_the_true_ones(lesson: Context) -> None:
    data = taught.with_texts(lesson, 64, 1).data
    batch = {key: torch.from_numpy(array) for key, array in data.batch("train", slice(0, 8)).items()}
    family, module = lesson.reference.family.build(), lesson.reference.module.eval()

    def loss(weight: float) -> float:
        return Distill(kind="sequence", weight=weight).loss(family, lesson)(module, batch).item()

    assert loss(0.0) == pytest.approx(family.loss(family.forward(module, batch), batch).item())
    assert loss(1.0) < loss(0.0), "what it writes itself is likelier to it"
    assert loss(0.25) == pytest.approx(0.25 * loss(1.0) + 0.75 * loss(0.0))


def test_the_loss_is_that_of_the_paper(untrained: Build, context: Context) -> None:
    teacher, student = untrained(seed=1), untrained(seed=2)
    step = Distill(temperature=3.0, weight=0.25)
    batch = {"image": torch.randn(5, 1, 8, 8), "label": torch.arange(5)}
    found = step.loss(student.family.build(), replace(context, reference=teacher))(student.module, batch)
    p = functional.softmax(teacher.module(batch["image"]) / 3, 1)
    q = functional.softmax(student.module(batch["image"]) / 3, 1)
    soft = (p * (p / q).log()).sum(1).mean()
    hard = functional.cross_entropy(student.module(batch["image"]), batch["label"])
    assert found.item() == pytest.approx((0.25 * 9 * soft + 0.75 * hard).item(), rel=1e-5)


def test_a_student_is_the_same_family_with_its_own_options(untrained: Build, context: Context) -> None:
    student = Distill(student={"width": 0.5}, epochs=1).apply(untrained(), context)
    assert student.family == Spec("model", "mlp", {"width": 0.5})
    assert student.module[1].out_features == 150
    assert student.surgery == ()


def test_a_student_agrees_with_its_teacher_where_labels_say_nothing(untrained: Build, context: Context, tmp_path: Path) -> None:
    teacher = untrained()
    train.fit(teacher.module, teacher.family.build(), Train(epochs=6, batch=32), replace(context, scratch=tmp_path / "t"))
    step = Distill(student={"hidden": [32]}, weight=1.0, epochs=8)
    student = step.apply(untrained(), replace(context, reference=teacher, scratch=tmp_path / "s"))
    image = torch.from_numpy(context.data.splits["test"]["image"])
    with torch.no_grad():
        agreement = (student.module(image).argmax(1) == teacher.module(image).argmax(1)).float().mean()
    assert agreement > 0.85


def test_a_teacher_of_another_architecture_will_do(untrained: Build, context: Context) -> None:
    step = Distill(teacher="other", student={"hidden": [32]}, weight=1.0, epochs=4)
    found = losses(step, untrained(), replace(context, reference=untrained("lenet5")))
    assert found[-1] < 0.7 * found[0]


@pytest.mark.parametrize("kind", ["logits", "features", "attention"])
def test_the_teacher_is_not_trained(kind: Any, untrained: Build, context: Context) -> None:
    teacher = untrained("lenet5")
    before = {name: each.clone() for name, each in teacher.module.state_dict().items()}
    Distill(kind=kind, student={"width": 0.5}, epochs=1).apply(untrained("lenet5"), replace(context, reference=teacher))
    assert all(torch.equal(before[name], each) for name, each in teacher.module.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.module.parameters())


REFUSED = [
    (Distill(), "autoencoder", "blobs", "kind = 'logits' compares logits; the student has reconstruction [1, 1, 8, 8], input"),
    (Distill(teacher="teacher"), "mlp", "blobs", "kind = 'logits' compares logits; the teacher has reconstruction [1, 1, 8, 8]"),
    (
        Distill(kind="outputs", teacher="teacher"),
        "mlp",
        "blobs",
        "the student has logits [1, 10] and the teacher has reconstruction [1, 1, 8, 8], input [1, 1, 8, 8]",
    ),
    (
        Distill(kind="attention"),
        "mlp",
        "blobs",
        "compares attention, or feature maps [N, channels, H, W]; the student has 1 [1, 300], 3 [1, 100]",
    ),
    (
        Distill(kind="features", layers={"1": "9"}),
        "mlp",
        "blobs",
        "distill: layers: unknown layer '9'; (allowed: 0, 1, 2, 3, 4, 5)",
    ),
    (Distill(kind="features", layers={"10": "1"}), "mlp", "blobs", "distill: layers: unknown layer '10'; did you mean '1'?"),
    (
        Distill(kind="features", layers={"0": "1"}),
        "lenet5",
        "blobs",
        "compares 0 [1, 8, 8, 20] in the student and 1 [1, 4, 4, 20] in the teacher; name layers that fit",
    ),
    (
        Distill(kind="attention", student={"heads": 4}),
        "transformer_seq2seq",
        "pairs",
        "compares encoder.0.attention [1, 4, 6, 6] in the student and encoder.0.attention [1, 2, 6, 6] in the teacher",
    ),
    (
        Distill(kind="attention", layers={"0": "6"}),
        "lenet5",
        "blobs",
        "layer '6' of the teacher has none",
    ),
    (Distill(kind="sequence"), "mlp", "blobs", "compares texts that a translation writes; MLP is judged by accuracy"),
]


@pytest.mark.parametrize(("step", "name", "source", "words"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_what_cannot_be_compared_is_refused_before_any_work(
    step: Distill, name: str, source: str, words: str, data: Callable[[str], Dataset]
) -> None:
    family = Spec("model", name, SMALL if name.startswith("transformer") else {})
    teacher = Spec("model", "autoencoder")
    with pytest.raises(UserError) as refused:
        step.check(Outlook(family, {"teacher": teacher}, lambda: data(source).domain))
    assert words in str(refused.value)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_what_can_be_compared_passes_the_check(case: Any, data: Callable[[str], Dataset]) -> None:
    step, name, source, options = case
    step.check(Outlook(Spec("model", name, options), {}, lambda: data(source).domain))


def test_a_training_says_what_the_check_could_not_know(untrained: Build, context: Context, pictures: Dataset) -> None:
    own = replace(context, data=pictures, reference=model("autoencoder", pictures, 0))
    with pytest.raises(Unsupported, match="compares logits; the student has reconstruction"):
        Distill(epochs=1).apply(own.reference, own)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": {"1": "1"}}, "distill: layers is for kind = 'features' or 'attention'; found 'logits'"),
        ({"kind": "features", "samples": 3}, "distill: samples is for kind = 'sequence'; found 'features'"),
        ({"kind": "outputs", "beam": 4}, "distill: beam is for kind = 'sequence'; found 'outputs'"),
        ({"kind": "feature"}, "did you mean 'features'?"),
        ({"temperature": 0}, "temperature: Input should be greater than 0 (found 0)"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as refused:
        Spec("technique", "distill", options).build()
    assert words in str(refused.value)
