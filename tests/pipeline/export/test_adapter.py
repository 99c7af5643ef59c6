"""One base file and two adapters: swapped without loading the base again, each is its own torch module; without one, the base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.compress import _adapter as adapters
from pipeline.compress.lora import Lora
from pipeline.core import Arrays, Domain, Facts, Graph, Model, Precision, Spec, TensorSpec, Unsupported
from pipeline.evaluate import module_predictor
from pipeline.registry import find
from pipeline.sizes import adapter_bytes
from targets.runtimes import _adapter as shipped

RUNTIMES = {"onnx": "onnxruntime", "tflite": "litert", "openvino": "openvino"}
IMAGES = Domain("images", {"image": TensorSpec((1, 1, 8, 8))}, 10)
TEXTS = Domain("texts", {"tokens": TensorSpec((1, 9), "int64")}, 7, vocabulary=tuple("abcdefg"))
FAMILIES = {
    "mlp": (Spec("model", "mlp", {"hidden": [12]}), IMAGES, "classifier"),
    "lenet5": (Spec("model", "lenet5", {"channels": [3, 4], "hidden": 8}), IMAGES, "classifier"),
    "ds_cnn": (Spec("model", "ds_cnn", {"width": 0.1}), IMAGES, "classifier"),
    "gru_classifier": (Spec("model", "gru_classifier", {"hidden": 6}), IMAGES, "classifier"),
    "transformer_decoder": (Spec("model", "transformer_decoder", {"layers": 1, "heads": 2, "width": 8}), TEXTS, "prefill"),
}
"""Matrices, kernels, those of groups with normalization behind them, gates, a table that also makes the logits."""
CASES = [(name, magnitudes) for name in FAMILIES for magnitudes in (False, True) if magnitudes or name in ("mlp", "lenet5")]
TOLERANCE = 1e-4
"""As of any float file."""


@dataclass(frozen=True)
class Made:
    """A base, two models that adapt it, and the files of both."""

    base: Graph
    adapted: tuple[Graph, Graph]
    files: tuple[list[Path], list[Path]]


def build(name: str, seed: int, magnitudes: bool) -> Model:
    """The base is the same for every seed."""
    spec, domain, _ = FAMILIES[name]
    family = spec.build()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = family.build(domain).eval()
        if not seed:
            return Model(spec, domain, module, Facts(1, 1))
        adapters.attach(module, adapters.adaptable(module), 2, 0.5, magnitudes)
        torch.manual_seed(seed)
        with torch.no_grad():
            for _, _, update in adapters.updates(module):
                for part in update.parameters():
                    part.normal_(std=0.3)
    names = tuple(key for key, _ in module.named_parameters() if key.rsplit(".", 1)[1] in ("a", "b", "magnitude"))
    return Model(spec, domain, module, Facts(1, 1), adapter=names)


def graph_of(model: Model, name: str) -> Graph:
    graph: Graph = model.family.build().graphs(model.module, model.domain)[FAMILIES[name][2]]
    return graph


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, bool], Made]:
    @cache
    def once(form: str, name: str, magnitudes: bool) -> Made:
        folder = tmp_path_factory.mktemp(f"{form}-{name}")
        base = graph_of(build(name, 0, magnitudes), name)
        models = [build(name, seed, magnitudes) for seed in (1, 2)]
        graphs = [graph_of(model, name) for model in models]
        exporter = find("format", form)()
        files = [exporter.export(models[index], graphs[index], folder / str(index), [], {}) for index in (0, 1)]
        return Made(base, (graphs[0], graphs[1]), (files[0], files[1]))

    return once


def sample(graph: Graph, seed: int = 0) -> Arrays:
    random = np.random.default_rng(seed)
    return {
        name: random.integers(0, 7, spec.shape) if spec.dtype == "int64" else random.normal(size=spec.shape).astype(np.float32)
        for name, spec in graph.inputs.items()
    }


def away(predict: Any, graph: Graph) -> float:
    """How far a file's answers are from a module's, over some inputs."""
    asked = [sample(graph, seed) for seed in range(4)]
    pairs = [(predict(inputs), module_predictor(graph)(inputs)) for inputs in asked]
    return max(float(np.abs(found[name] - wanted[name]).max()) for found, wanted in pairs for name in wanted)


@pytest.mark.parametrize(("name", "magnitudes"), CASES)
@pytest.mark.parametrize("form", RUNTIMES)
def test_adapters_are_swapped_and_the_base_is_not(make: Callable[..., Made], form: str, name: str, magnitudes: bool) -> None:
    made = make(form, name, magnitudes)
    (*base, first), (*again, second) = made.files
    assert [file.read_bytes() for file in base] == [file.read_bytes() for file in again], "one base"
    predict = Spec("runtime", RUNTIMES[form]).build().load([*base, first], threads=1)
    for file in base:
        file.rename(file.with_name(f"gone-{file.name}"))  # nobody can load it again
    try:
        assert away(predict, made.adapted[0]) < TOLERANCE
        predict.adapt(second)
        assert away(predict, made.adapted[1]) < TOLERANCE
        predict.adapt(None)
        assert away(predict, made.base) < TOLERANCE
        predict.adapt(first)
        assert away(predict, made.adapted[0]) < TOLERANCE
        assert min(away(predict, made.adapted[1]), away(predict, made.base)) > 0.01, "they differ"
        assert predict.batch == 1, "an adapter's shapes say nothing of the batch"
    finally:
        for file in base:
            file.with_name(f"gone-{file.name}").rename(file)


@pytest.mark.parametrize("form", RUNTIMES)
def test_the_base_alone_is_the_base(make: Callable[..., Made], form: str) -> None:
    made = make(form, "mlp", True)
    predict = Spec("runtime", RUNTIMES[form]).build().load(made.files[0][:-1], threads=1)
    assert away(predict, made.base) < TOLERANCE


@pytest.mark.parametrize("form", RUNTIMES)
def test_an_adapter_of_another_base_and_a_damaged_one_are_refused(make: Callable[..., Made], form: str, tmp_path: Path) -> None:
    made, other = make(form, "mlp", False), make(form, "mlp", True)
    predict = Spec("runtime", RUNTIMES[form]).build().load(made.files[0], threads=1)
    with pytest.raises(ValueError, match=r"is no adapter of .*gain' is in only one of the two"):
        predict.adapt(other.files[0][-1])
    damaged = tmp_path / made.files[0][-1].name
    for content in (b"", b"\xff" * 40, made.files[0][-1].read_bytes()[:60]):
        damaged.write_bytes(content)
        with pytest.raises(ValueError, match=damaged.name) as refused:
            predict.adapt(damaged)
        assert "\n" not in str(refused.value)
    assert away(predict, made.adapted[0]) < TOLERANCE, "what was refused has changed nothing"


def test_an_adapter_of_another_rank_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"adapter.1.weight.a": np.ones((3, 4), np.float32)}, tmp_path / "a.safetensors")
    wanted = {"adapter.1.weight.a": shipped.Input((2, 4), "float32")}
    with pytest.raises(ValueError, match=r"has shape \[3, 4\], and this base takes \[2, 4\]"):
        shipped.filled(wanted, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(shipped.read(tmp_path / "a.safetensors")["adapter.1.weight.a"], np.ones((3, 4)))


def test_int8_activations_beside_an_adapter_are_unsupported(tmp_path: Path) -> None:
    model = replace(build("mlp", 1, False), precision=Precision("static"))
    with pytest.raises(Unsupported, match="needs float activations"):
        find("format", "onnx")().export(model, graph_of(model, "mlp"), tmp_path / "x", [], {})


def test_runtimes_that_take_no_adapter_say_so(tmp_path: Path) -> None:
    for name in ("x.onnx_adapter", "x.adapter.safetensors"):
        with pytest.raises(shipped.Unsupported, match=name):
            shipped.refuse_beside([tmp_path / "x.onnx", tmp_path / name])
    shipped.refuse_beside([tmp_path / "model.json", tmp_path / "weights.safetensors"])


def test_an_adapter_is_small_beside_its_base(tmp_path: Path) -> None:
    spec = Spec("model", "mlp", {})
    family = spec.build()
    module = family.build(IMAGES).eval()
    adapters.attach(module, adapters.adaptable(module), Lora().rank, 1.0, False)
    names = tuple(key for key, _ in module.named_parameters() if key.rsplit(".", 1)[1] in ("a", "b"))
    model = Model(spec, IMAGES, module, Facts(1, 1), adapter=names)
    base, adapter = find("format", "onnx")().export(model, family.graphs(module, IMAGES)["classifier"], tmp_path / "x", [], {})
    assert (adapter_bytes([base, adapter]), adapter_bytes([base])) == (adapter.stat().st_size, None)
    floats = 4 * sum(parameter.numel() for key, parameter in module.named_parameters() if key in names)
    assert floats < adapter.stat().st_size < floats + 2000
    assert base.stat().st_size - floats > 4 * 300 * 100
