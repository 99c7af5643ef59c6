"""Chains of binary layers in OpenVINO: bits in the file, whole sums as they are, whatever the layers' sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from pipeline.anatomy import openvino_ as anatomy
from pipeline.anatomy._parts import joined
from pipeline.anatomy._summary import summary
from pipeline.compress._binary import Binary, binarized
from pipeline.core import Array, Graph, Precision, TensorSpec, Unsupported
from pipeline.export import _openvino_packed
from pipeline.export._packed import stages
from pipeline.export._trace import run
from pipeline.export.openvino_ import Openvino
from targets.kernels.layer import Shape, pack
from targets.kernels.network import Bits, Floats, Network, Pool, Sign, Stage, write
from targets.runtimes import _base
from targets.runtimes._openvino import library
from targets.runtimes.gpu.openvino_gpu import OpenVinoGpu
from targets.runtimes.openvino_ import OpenVino
from tests.pipeline.export.conftest import PROVENANCE, images, model_of
from tests.pipeline.export.test_packed import chains, trained

NETS: dict[str, Callable[[], list[nn.Module]]] = {
    "mlp": lambda: [
        *(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), sign_of(nn.Linear(256, 256)), nn.BatchNorm1d(256), nn.ReLU()),
        *(sign_of(nn.Linear(256, 256)), nn.ReLU(), nn.Linear(256, 10)),
    ],
    "cnn": lambda: [
        *(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), sign_of(nn.Conv2d(64, 64, 3, padding=1)), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.BatchNorm2d(64), sign_of(nn.Conv2d(64, 128, 3, stride=2, padding=1)), nn.Flatten(), sign_of(nn.Linear(512, 64))),
        *(nn.ReLU(), nn.Linear(64, 10)),
    ],
    "odd": lambda: [
        *(nn.Conv2d(1, 19, 3), sign_of(nn.Conv2d(19, 21, 3, padding=1)), nn.ReLU(), nn.MaxPool2d(2)),
        *(sign_of(nn.Conv2d(21, 33, 3, padding=1)), nn.ReLU(), nn.Flatten(), nn.Linear(297, 10)),
    ],
}
"""Each begins and ends with layers of floats, as the technique leaves them."""
EXAMPLES = settings(max_examples=25)
"""Each compiles a model."""


def sign_of(made: nn.Module) -> Binary:
    return binarized(made, "sign")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[nn.Sequential, list[Path]]]:
    """exported(net, precision=None, batch=1): the module, and the files."""

    @cache
    def once(name: str, precision: Precision | None = None, batch: int = 1) -> tuple[nn.Sequential, list[Path]]:
        torch.manual_seed(1)
        graph = Graph(trained(nn.Sequential(*NETS[name]()), 1), {"image": TensorSpec((batch, 1, 8, 8))}, ("logits",))
        path = tmp_path_factory.mktemp("packed") / name
        files = Openvino().export(model_of(graph, precision), graph, path, images(16, seed=1) if precision else [], PROVENANCE)
        return graph.module, files

    return once


def operators(files: list[Path]) -> list[Any]:
    return list(library().Core().read_model(files[0]).get_ops())


def stored_bits(files: list[Path]) -> list[bytes]:
    """The constants of single bits, as they lie in the file."""
    constants = [each for each in operators(files) if each.get_type_name() == "Constant"]
    return [each.get_data().tobytes() for each in constants if each.get_output_element_type(0).get_type_name() == "u1"]


def compiled(found: Sequence[Stage], size: tuple[int, ...]) -> Callable[[Array], Array]:
    """What OpenVINO computes of floats of this size, N first."""
    from openvino import opset13

    x = opset13.parameter(list(size), np.float32)
    model = library().Model([_openvino_packed.unpacked(x, found)], [x], "packed")
    runs = library().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    return lambda inputs: runs(inputs)[0].copy()


def plain(shape: Shape, weights: Array, bits: Array) -> Array:
    """The sums of +-1, by torch in float64."""
    taps = 2.0 * np.unpackbits(weights, axis=-1, count=shape.channels // shape.groups, bitorder="little") - 1
    signs, kernel = (torch.from_numpy(each.astype(np.float64)) for each in (bits, taps.transpose(0, 3, 1, 2)))
    return functional.conv2d(signs, kernel, None, shape.stride, shape.pad, 1, shape.groups).numpy()


def layer(shape: Shape, random: np.random.Generator) -> Floats:
    weights = pack(random.choice([-1, 1], (shape.outputs, *shape.kernel, shape.channels // shape.groups)))
    return Floats(shape, weights, np.ones(shape.outputs, np.float32), np.zeros(shape.outputs, np.float32))


@st.composite
def shapes(draw: Any) -> Shape:
    """Also such as the plugin refuses, or sums wrongly."""
    groups, (high, wide) = draw(st.sampled_from([1, 1, 2, 3])), (draw(st.integers(1, 12)) for _ in range(2))
    pad, stride = ((draw(st.integers(*ends)), draw(st.integers(*ends))) for ends in ((0, 4), (1, 4)))
    kernel = tuple(draw(st.integers(1, min(9, side + 2 * more))) for side, more in zip((high, wide), pad, strict=True))
    sides = (draw(st.integers(1, 40)) * groups for _ in range(2))
    channels, outputs = sides
    return Shape(channels, high, wide, outputs, (kernel[0], kernel[1]), stride, pad, groups)


@given(shape=shapes(), samples=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
@example(shape=Shape(4, 1, 2, 2, (1, 1), pad=(0, 3), groups=2), samples=1, seed=0)  # the border adds alike in one group alone
@EXAMPLES
def test_sums_are_exact_whatever_the_layer(shape: Shape, samples: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    size = (shape.channels, shape.height, shape.width)
    x = random.normal(size=(samples, *size)).astype(np.float32)
    thresholds, falling = random.normal(size=shape.channels).astype(np.float32), random.random(shape.channels) < 0.5
    over = (x >= thresholds[:, None, None]) & ~falling[:, None, None] | (x <= thresholds[:, None, None]) & falling[:, None, None]
    last = layer(shape, random)
    found = compiled([Sign(size, thresholds, falling), last], x.shape)(x)
    np.testing.assert_array_equal(found, plain(shape, last.weights, np.where(over, 1, -1)))


@pytest.mark.parametrize(
    "shape",
    [
        Shape(16, 12, 12, 8, (5, 5), stride=(3, 3)),  # the plugin's own sums are wrong
        Shape(16, 9, 9, 8, (7, 7), pad=(3, 3)),  # it refuses this with AVX2
        Shape(16, 12, 12, 8, (9, 9), stride=(2, 2), pad=(2, 2)),  # and this everywhere
        Shape(13, 7, 7, 9, (3, 3), pad=(1, 1)),  # no whole bytes, and an odd number to fill them up
        Shape(24, 1, 1, 10, (1, 1)),
        Shape(20, 4, 6, 500, (4, 6)),
    ],
    ids=str,
)
def test_layers_that_the_plugin_alone_gets_wrong_are_exact(shape: Shape) -> None:
    random = np.random.default_rng(7)
    x = random.normal(size=(1, shape.channels, shape.height, shape.width)).astype(np.float32)
    last = layer(shape, random)
    first = Sign(x.shape[1:], np.zeros(shape.channels, np.float32), np.zeros(shape.channels, bool))
    np.testing.assert_array_equal(
        compiled([first, last], x.shape)(x), plain(shape, last.weights, np.where(x >= 0, 1, -1)), strict=False
    )


@given(made=chains(), seed=st.integers(0, 2**32 - 1))
@EXAMPLES
def test_a_chain_gives_what_torch_gives(made: tuple[nn.Sequential, tuple[int, int, int]], seed: int) -> None:
    chain, size = made
    trained(chain, seed)
    last = chain[-1]
    assert isinstance(last, Binary)
    last.scale.data.fill_(1)  # then what comes out are sums, and a wrong bit anywhere shows
    last.bias.data.fill_(0)
    x = torch.randn(2, *size)
    with torch.no_grad():
        expected = chain(x).numpy()
    found = compiled(stages(list(chain), size), tuple(x.shape))(x.numpy())
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)


@given(pixels=st.booleans(), pooled=st.booleans(), seed=st.integers(0, 2**32 - 1))
@EXAMPLES
def test_a_sum_at_its_threshold_is_a_one_and_the_one_below_none(pixels: bool, pooled: bool, seed: int) -> None:
    """Thresholds are sums that occur, for half of the places; the other half are next to one."""
    random = np.random.default_rng(seed)
    x = random.choice([-1, 1], (1, 12, 6, 6)).astype(np.float32)
    first, size = layer(Shape(12, 6, 6, 10, (3, 3), pad=(1, 1)), random), (10, 3, 3) if pooled else (10, 6, 6)
    sums = plain(first.shape, first.weights, x)[0].transpose(1, 2, 0)
    edges = sums if pixels else sums[2, 3]
    thresholds = (edges + random.integers(0, 2, edges.shape)).astype(np.int32)
    bits = sums >= thresholds
    if pooled:
        bits = bits.reshape(3, 2, 3, 2, 10).any(axis=(1, 3))
    last = layer(Shape(*size, 7, size[1:]), random)
    network: list[Stage] = [
        Sign((12, 6, 6), np.zeros(12, np.float32), np.zeros(12, bool)),
        Bits(first.shape, first.weights, thresholds),
    ]
    network += [Pool((10, 6, 6), (2, 2), (2, 2), (0, 0))] if pooled else []
    expected = plain(last.shape, last.weights, np.where(bits, 1, -1).transpose(2, 0, 1)[None])
    np.testing.assert_array_equal(compiled([*network, last], x.shape)(x), expected)


def test_the_first_signs_are_exact_to_the_neighbouring_float() -> None:
    random = np.random.default_rng(3)
    thresholds = np.array([0, -0.0, 1, -1, 1e-30, -1e-30, 2**-126, np.inf, -3e38, np.pi, 1e-3, -7], np.float32)
    falling = random.random(12) < 0.5
    first, last = Sign((12, 1, 1), thresholds, falling), layer(Shape(12, 1, 1, 9, (1, 1)), random)
    network = write([first, last])
    runs = compiled([first, last], (1, 12, 1, 1))
    for side in (-1e30, 1e30, 0.0):
        x = np.nextafter(thresholds, np.float32(side)) if side else thresholds
        x = np.where(np.isfinite(x), x, 5).astype(np.float32).reshape(1, 12, 1, 1)
        np.testing.assert_array_equal(runs(x), Network(network)(x))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", NETS)
def test_a_files_logits_are_those_of_the_module(name: str, batch: int, exported: Any) -> None:
    module, files = exported(name, batch=batch)
    predict, x = OpenVino().load(files, 1), torch.randn(20, batch, 1, 8, 8)
    for each in x:
        with torch.no_grad():
            expected = module(each).numpy()
        found = predict({"image": each.numpy()})["logits"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=Openvino.tolerance * max(1, np.abs(expected).max()))


def test_the_file_holds_a_bit_a_weight(exported: Any) -> None:
    for name, least in (("mlp", 25), ("cnn", 25), ("odd", 20)):  # channels that are no whole bytes are filled up
        module, files = exported(name)
        floats = sum(4 * each.weight.numel() for each in module if isinstance(each, Binary))
        assert sum(map(len, stored_bits(files))) * least <= floats
        kept = sum(4 * each.numel() for part in module if not isinstance(part, Binary) for each in part.parameters())
        rest = files[1].stat().st_size - kept  # limits, scales and offsets, too
        assert rest < floats / (5 if name == "odd" else 10)


def test_the_plugin_computes_with_bits_from_layer_to_layer(exported: Any) -> None:
    """Its own name for what it chose, and the signs are made inside of the convolution before."""
    runs = library().Core().compile_model(exported("mlp")[1][0], "CPU")
    facts = [each.get_rt_info() for each in runs.get_runtime_model().get_ops()]
    told = [(each["layerType"].astype(str), each["primitiveType"].astype(str)) for each in facts]
    chosen = [primitive for kind, primitive in told if kind == "BinaryConvolution"]
    assert len(chosen) == 2 and all(each.startswith("jit_avx") and each.endswith("_u1") for each in chosen)
    assert [kind for kind, _ in told].count("FakeQuantize") == 1, "the second one is part of the first convolution"


@pytest.mark.parametrize("name", NETS)
def test_the_real_layers_are_int8_beside_bits_that_stay(name: str, exported: Any) -> None:
    (_, plain_files), (module, files) = exported(name), exported(name, Precision("static", calibration_samples=16))
    assert stored_bits(files) == stored_bits(plain_files)
    kinds = [(each.get_type_name(), each.get_output_element_type(0).get_type_name()) for each in operators(files)]
    assert kinds.count(("Constant", "i8")) == 2, "the first and the last layer"
    if name == "mlp":
        predict, differences = OpenVino().load(files, 1), list[float]()
        for each in images(20, seed=3):
            with torch.no_grad():
                expected = module(torch.from_numpy(each["image"])).numpy()
            differences.append(np.abs(predict(each)["logits"] - expected).max() / np.abs(expected).max())
        assert np.median(differences) < 0.05, "but where int8 turns a bit over that is at its threshold"


@pytest.mark.parametrize("name", NETS)
def test_limits_are_no_weights_on_a_grid(name: str, exported: Any) -> None:
    """They are whole numbers and a half, which look like integers with a scale, and nearly the same limit is another."""
    (_, plain_files), (_, files) = exported(name), exported(name, Precision("float", weight_bits=8))
    first, second = (OpenVino().load(each, 1) for each in (plain_files, files))
    for each in images(20, seed=3):
        np.testing.assert_array_equal(second(each)["logits"], first(each)["logits"])


def test_the_same_model_gives_the_same_bytes(exported: Any, tmp_path: Path) -> None:
    module, files = exported("odd")
    graph = Graph(module, {"image": TensorSpec((1, 1, 8, 8))}, ("logits",))
    again = Openvino().export(model_of(graph), graph, tmp_path / "again", [], PROVENANCE)
    assert [each.read_bytes() for each in again] == [each.read_bytes() for each in files]


def test_it_is_refused_off_x86_with_the_reason(exported: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module, files = exported("mlp")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    said = "OpenVINO's BinaryConvolution computes wrong results on ARM, so its binary layers run on x86 only, and this is aarch64"
    with pytest.raises(_base.Unsupported, match=f"^mlp.xml: {said}$"):
        OpenVino().load(files, 1)
    graph = Graph(module, {"image": TensorSpec((1, 1, 8, 8))}, ("logits",))
    with pytest.raises(Unsupported, match=f"^{said}$"):
        Openvino().export(model_of(graph), graph, tmp_path / "refused", [], PROVENANCE)
    assert not list(tmp_path.iterdir())
    floats = Graph(nn.Flatten(), graph.inputs, ("logits",))
    assert OpenVino().load(Openvino().export(model_of(floats), floats, tmp_path / "floats", [], PROVENANCE), 1)


def test_a_gpu_is_not_asked_to(exported: Any) -> None:
    with pytest.raises(_base.Unsupported, match=r"^mlp\.xml: OpenVINO's BinaryConvolution is known to be right on x86 CPUs only"):
        OpenVinoGpu("fp32", "CPU").load(exported("mlp")[1], 1)


def test_layers_that_are_no_chain_are_bits_one_by_one(tmp_path: Path) -> None:
    chain = [sign_of(nn.Conv2d(1, 8, 3, padding=1)), nn.MaxPool2d(2), nn.MaxPool2d(2), sign_of(nn.Conv2d(8, 8, 2)), nn.Flatten()]
    graph = Graph(trained(nn.Sequential(*chain), 0), {"image": TensorSpec((1, 1, 8, 8))}, ("logits",))
    files = Openvino().export(model_of(graph), graph, tmp_path / "two", [], PROVENANCE)
    assert [part.operator for part in anatomy.read(files)].count("BinaryConvolution") == 2
    x = {"image": np.random.default_rng(0).standard_normal((1, 1, 8, 8)).astype(np.float32)}
    np.testing.assert_allclose(OpenVino().load(files, 1)(x)["logits"], run(graph, x)["logits"], atol=1e-4)


def test_the_anatomy_of_a_file_names_its_bits(exported: Any) -> None:
    module, files = exported("cnn")
    sample = {"image": np.zeros((1, 1, 8, 8), np.float32)}
    before, ran = anatomy.read(files), anatomy.profile(files, sample, 1)
    assert not isinstance(ran, str)
    parts = [part for part in joined(before, ran) if part.operator == "BinaryConvolution"]
    weights = [each.weight.detach() for each in module if isinstance(each, Binary)]
    assert sorted(part.weights[0].values.size for part in parts) == sorted(each.numel() for each in weights)
    for part in parts:
        (held,) = part.weights
        assert (held.stored, part.computed, held.zeros) == ("int1", "int1", 0)
        assert held.values.size / 8 <= part.bytes and part.milliseconds is not None
        (mine,) = [each for each in weights if each.numel() == held.values.size]
        alike = np.where(mine.numpy().reshape(held.values.shape) >= 0, 1, -1) * held.values
        turned = alike[:, :1, :1, :1] * alike[:1] * alike[0, 0, 0, 0]
        np.testing.assert_array_equal(alike, turned, "turned over for whole outputs or inputs at most")
    found = summary(joined(before, ran), {})
    assert {kind.stored for kind in found.kinds if kind.operator == "BinaryConvolution"} == {"int1"}
