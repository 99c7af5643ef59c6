"""Binary layers in a .tflite file: bits that our own operator reads, with torch's answers, beside layers of any precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.anatomy._summary import summary
from pipeline.anatomy.tflite import read
from pipeline.compress._binary import binarized
from pipeline.core import Arrays, Graph, Precision, TensorSpec
from pipeline.export._trace import run
from pipeline.export.tflite import Tflite
from targets.runtimes.litert import OPERATOR, LiteRt
from tests.pipeline.export.conftest import PROVENANCE, model_of
from tests.pipeline.export.test_packed import trained

KIND = OPERATOR.decode()
CLOSE = 1e-4
"""What exported files are held to: float32 sums of the real layers in another order. Bits themselves are exact."""

ALIKE = 0.5
"""Of ten classes, by chance 0.1: a sign turns where int8 moves a number across its threshold, which at random are many."""


def conv(inputs: int, outputs: int, **options: int) -> nn.Module:
    return binarized(nn.Conv2d(inputs, outputs, 3, padding=1, **options), "sign")


def linear(inputs: int, outputs: int) -> nn.Module:
    return binarized(nn.Linear(inputs, outputs), "sign")


class Residual(nn.Module):
    """Three chains: one that two others read, with real layers around them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 16, 3, padding=1), nn.Linear(16, 10)
        self.a, self.b, self.c = nn.Sequential(conv(16, 16), nn.ReLU(), conv(16, 16)), conv(16, 16), conv(16, 16, stride=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.a(self.first(image))
        return self.last((self.b(x) + self.c(x)).mean((2, 3)))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 96), linear(96, 80), nn.ReLU(), linear(80, 48), nn.Linear(48, 10)),
    "pools": lambda: nn.Sequential(
        *(nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), conv(24, 40), nn.ReLU(), nn.MaxPool2d(2), conv(40, 33)),
        *(nn.BatchNorm2d(33), nn.MaxPool2d(2), nn.Flatten(), linear(33 * 4, 50), nn.ReLU(), nn.Linear(50, 10)),
    ),
    "residual": Residual,
    "words": lambda: nn.Sequential(nn.Flatten(1, 2), nn.Linear(8, 32), linear(32, 24), nn.Flatten(), nn.Linear(24 * 8, 10)),
}
"""The last one's chain reads [N, 8, 32]: features of eight places each."""
CHAINS = {"mlp": 1, "pools": 1, "residual": 3, "words": 1}


def made(name: str, batch: int = 1) -> Graph:
    torch.manual_seed(0)
    module = trained(nn.Sequential(NETWORKS[name]()), 1)
    return Graph(module, {"image": TensorSpec((batch, 1, 8, 8))}, ("logits",))


def samples(graph: Graph, count: int) -> list[Arrays]:
    random = np.random.default_rng(0)
    return [
        {name: random.normal(size=each.shape).astype(np.float32) for name, each in graph.inputs.items()} for _ in range(count)
    ]


def exported(graph: Graph, folder: Path, precision: Precision | None = None) -> Path:
    calibration = samples(graph, 16) if precision else []
    (file,) = Tflite().export(model_of(graph, precision), graph, folder / "net", calibration, PROVENANCE)
    return file


@pytest.mark.parametrize(("name", "batch"), [("mlp", 1), ("pools", 3), ("residual", 1), ("words", 2)])
def test_chains_become_an_operator_each_with_the_modules_answers(name: str, batch: int, tmp_path: Path) -> None:
    graph = made(name, batch)
    file = exported(graph, tmp_path)
    assert [part.operator for part in read([file])].count(KIND) == CHAINS[name]
    predict = LiteRt().load([file], threads=1)
    assert predict.batch == batch
    for sample in samples(graph, 10):
        np.testing.assert_allclose(predict(sample)["logits"], run(graph, sample)["logits"], atol=CLOSE, rtol=0)


def test_a_chain_alone_is_exact_and_its_bytes_are_a_25th_of_the_floats(tmp_path: Path) -> None:
    torch.manual_seed(0)
    real = nn.Sequential(nn.Conv2d(128, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(256, 128, 3, padding=1))
    binary = trained(nn.Sequential(*(binarized(each, "sign") if isinstance(each, nn.Conv2d) else each for each in real)), 1)
    graph = Graph(binary, {"x": TensorSpec((2, 128, 6, 6))}, ("y",))
    file = exported(graph, tmp_path)
    (packed,) = (part for part in read([file]) if part.operator == KIND)
    floats = exported(Graph(real.eval(), graph.inputs, graph.outputs), tmp_path / "real")
    assert packed.bytes * 25 < sum(part.bytes for part in read([floats]))
    assert file.stat().st_size * 25 < floats.stat().st_size
    predict = LiteRt().load([file], threads=1)
    for sample in samples(graph, 4):
        np.testing.assert_array_equal(predict(sample)["y"], run(graph, sample)["y"])


@pytest.mark.parametrize("activations", ["static", "dynamic"])
def test_real_layers_beside_a_chain_are_int8(activations: str, tmp_path: Path) -> None:
    graph = made("pools")
    (network,) = graph.module.children()
    nn.init.ones_(network[1].weight)  # the quantizer cannot scale the bias of a channel whose weights are all 0
    file = exported(graph, tmp_path, Precision(activations, calibration_samples=16))  # type: ignore[arg-type]
    parts = read([file])
    (chain,) = (kind for kind in summary(parts, {}).kinds if kind.operator == KIND)
    assert (chain.count, chain.computed) == (1, "int1") and chain.bytes > 40 * 33 * 9 / 8
    real = [part for part in parts if part.weights and part.operator != KIND]
    assert [part.computed for part in real] == ["int8"] * 2
    predict, chosen = LiteRt().load([file], threads=1), list[bool]()
    for sample in samples(graph, 50):
        chosen.append(predict(sample)["logits"].argmax() == run(graph, sample)["logits"].argmax())
    assert np.mean(chosen) > ALIKE


def test_the_same_network_gives_the_same_bytes_whose_data_are_aligned(tmp_path: Path) -> None:
    one, other = (exported(made("mlp"), tmp_path / name).read_bytes() for name in "ab")
    assert one == other
    assert one.count(b"EPBN") == 1 and one.index(b"EPBN") % 16 == 0


class Counting(nn.Module):
    """Whose code asks for a number that only a run can tell."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = conv(1, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.layer(image)
        return x if len(list(x)) == 1 else -x


@pytest.mark.parametrize(
    ("module", "layers"),
    [(nn.Sequential(conv(1, 4), nn.MaxPool2d(2), nn.MaxPool2d(2), conv(4, 4)), 2), (Counting(), 1)],
    ids=["two pools", "no trace"],
)
def test_layers_that_are_no_chain_are_operators_of_their_own(module: nn.Module, layers: int, tmp_path: Path) -> None:
    graph = Graph(trained(nn.Sequential(module), 1), {"image": TensorSpec((1, 1, 10, 10))}, ("y",))
    file = exported(graph, tmp_path)
    assert [part.operator for part in read([file])].count(KIND) == layers
    predict = LiteRt().load([file], threads=1)
    for sample in samples(graph, 4):
        np.testing.assert_allclose(predict(sample)["y"], run(graph, sample)["y"], atol=CLOSE, rtol=0)


def test_a_damaged_chain_is_refused_in_one_line(tmp_path: Path) -> None:
    file = exported(made("mlp"), tmp_path)
    content = bytearray(file.read_bytes())
    content[content.index(b"EPBN") + 200] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"^net\.tflite: packed network of \d+ bytes: it was damaged") as error:
        LiteRt().load([file], threads=1)
    assert "\n" not in str(error.value)
