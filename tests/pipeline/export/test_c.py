"""C files: every operator as torch has it, by any C compiler, on this machine and on emulated ARM, without a runtime."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from models.ds_cnn import depthwise_separable
from models.resnet8 import Residual
from pipeline.compress._binary import binarized
from pipeline.core import Graph, Precision, TensorSpec, Unsupported
from pipeline.export._trace import run
from pipeline.export.c import C
from targets.kernels.build import SOURCES
from targets.runtimes.standalone import Standalone
from tests.pipeline.export.conftest import INPUTS, PROVENANCE, build, model_of
from tests.pipeline.export.test_packed import trained

RUN = Path(__file__).with_name("run.c")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")


class Tangle(nn.Module):
    """Values that are read again later, in place too, and whole tensors as channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding=1)
        self.rows, self.head = nn.Linear(6, 5), nn.Linear(28, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.first(x)
        b = functional.relu6(self.second(a), inplace=True)
        c = a + a
        d = self.second(b + c) + b
        e = functional.hardtanh(self.rows(d).mean(3) + d.mean(-1), -0.25, 0.5)
        return self.head(e.reshape(1, 7, -1).flatten(1)[None]).squeeze(0).softmax(-1)


class Pools(nn.Module):
    """Every pooling with what its windows may be."""

    def __init__(self) -> None:
        super().__init__()
        self.pools = nn.ModuleList(
            [
                nn.MaxPool2d(3, 2, padding=1),
                nn.MaxPool2d((2, 3), (1, 2), dilation=2, ceil_mode=True),
                nn.AvgPool2d(3, 2, padding=1),
                nn.AvgPool2d(3, 2, padding=1, count_include_pad=False, ceil_mode=True),
                nn.AvgPool2d((2, 3), ceil_mode=True),
                nn.AvgPool2d(2, divisor_override=3),
                nn.AdaptiveAvgPool2d((3, 4)),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.pools[-1](torch.relu(x))
        for pool in self.pools[:-1]:
            found = found + self.pools[-1](pool(x))
        return found


def convolutions() -> nn.Module:
    """Of every kind of stride, border, dilation and group; few and many outputs, full blocks and others."""
    layers = [
        nn.Conv2d(3, 20, (3, 2), (2, 1), padding=(1, 0)),
        nn.ReLU(),
        nn.Conv2d(20, 36, 3, padding=2, dilation=2, groups=2, bias=False),
        nn.BatchNorm2d(36),
        nn.Conv2d(36, 36, 3, groups=36, padding=1, stride=2),
        nn.Hardtanh(-2, 3),
        nn.Conv2d(36, 10, 1),
        nn.Conv2d(10, 16, (1, 3)),
    ]
    return nn.Sequential(*layers, nn.Flatten(), nn.BatchNorm1d(16 * 4 * 3), nn.Linear(16 * 4 * 3, 7, bias=False))


def mixed() -> nn.Module:
    """Two chains of binary layers between real ones."""
    torch.manual_seed(0)
    first = [binarized(nn.Conv2d(4, 9, 3, padding=1), "sign"), nn.MaxPool2d(2), binarized(nn.Conv2d(9, 6, 3), "sign")]
    second = [binarized(nn.Linear(30, 20), "sign"), nn.ReLU(), binarized(nn.Linear(20, 8), "sign")]
    real = [nn.AvgPool2d(2), nn.Flatten(), nn.Linear(24, 30), nn.ReLU()]
    chain = nn.Sequential(nn.Identity(), *first, nn.Softmax(1), *real, *second, nn.Linear(8, 4))
    return trained(chain, 1)


def only_binary() -> nn.Module:
    torch.manual_seed(0)
    layers = [binarized(nn.Conv2d(*sides, 3, padding=1), "sign") for sides in ((3, 17), (17, 12))]
    return trained(nn.Sequential(layers[0], nn.BatchNorm2d(17), nn.MaxPool2d(2), layers[1]), 2)


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convolutions": (convolutions, (1, 3, 13, 11)),
    "tangle": (Tangle, (1, 2, 7, 6)),
    "pools": (Pools, (1, 5, 17, 14)),
    "residual": (lambda: nn.Sequential(Residual(3, 3, 1), Residual(3, 8, 2), nn.AdaptiveAvgPool2d(1)), (1, 3, 8, 8)),
    "separable": (lambda: depthwise_separable(20), (1, 20, 9, 5)),
    "mixed": (mixed, (1, 4, 12, 12)),
    "only binary": (only_binary, (1, 3, 10, 9)),
}


@dataclass(frozen=True)
class Made:
    """A network's C file, and what torch makes of some samples."""

    file: Path
    inputs: np.ndarray
    expected: np.ndarray

    @property
    def name(self) -> str:
        return self.file.stem


def graph_of(module: nn.Module, shape: tuple[int, ...]) -> Graph:
    return Graph(module.eval(), {"x": TensorSpec(shape)}, ("y",))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    folder, found = tmp_path_factory.mktemp("c"), {}
    for name, (make, shape) in NETS.items():
        torch.manual_seed(1)
        graph = graph_of(make(), shape)
        (file,) = C().export(model_of(graph), graph, folder / name.replace(" ", "_"), [], PROVENANCE)
        inputs = np.random.default_rng(2).normal(size=(6, *shape)).astype(np.float32)
        found[name] = Made(file, inputs, np.stack([run(graph, {"x": each})["y"] for each in inputs]))
    return found


def compiled(made: Made, program: Path, compiler: tuple[str, str], *options: str) -> Path:
    """A program of its own, with the kernels where they are called: C by `compiler`'s first, C++ by its second."""
    c, cpp = compiler
    kernels = SOURCES[0].parent
    objects = [program.with_suffix(".o")]
    defined = [f"-DNET={made.name}", f'-DSOURCE="{made.file}"', f"-I{kernels}"]
    subprocess.run([c, *STRICT, *options, *defined, "-c", RUN, "-o", objects[0]], check=True)
    sources = SOURCES[:2] if "network.h" in made.file.read_text() else ()
    subprocess.run([cpp, "-std=c++17", "-ffp-contract=off", *options, *objects, *sources, "-lm", "-o", program], check=True)
    return program


def compare(made: Made, command: list[str | Path], folder: Path) -> None:
    """Runs a program; packed networks are exact, real numbers are added in another order."""
    (folder / "in").write_bytes(made.inputs.tobytes())
    done = subprocess.run([*command, folder / "in", folder / "out"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found = np.frombuffer((folder / "out").read_bytes(), np.float32).reshape(made.expected.shape)
    np.testing.assert_allclose(found, made.expected, rtol=1e-5, atol=0 if made.name == "only_binary" else 1e-5)


@pytest.mark.parametrize("name", NETS)
def test_the_file_computes_what_torch_computes(made: dict[str, Made], name: str) -> None:
    each = made[name]
    predict = Standalone().load([each.file], threads=1)
    for given, expected in zip(each.inputs, each.expected, strict=True):
        found = predict({"x": given})["y"]
        assert (found.shape, found.dtype) == (expected.shape, np.float32)
        if name == "only binary":
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_it_is_strict_c_and_clean_under_the_sanitizers(made: dict[str, Made], name: str, tmp_path: Path) -> None:
    options = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    compare(made[name], [compiled(made[name], tmp_path / "net", ("cc", "c++"), *options)], tmp_path)


@pytest.mark.parametrize(
    ("machine", "emulator", "processor"),
    [("aarch64-linux-gnu", "qemu-aarch64-static", "cortex-a53"), ("arm-linux-gnueabihf", "qemu-arm-static", "cortex-a7")],
)
@pytest.mark.parametrize("name", ["convolutions", "mixed", "only binary"])
def test_it_runs_on_arm_without_a_library(
    made: dict[str, Made], name: str, machine: str, emulator: str, processor: str, tmp_path: Path
) -> None:
    compiler = (f"{machine}-gcc", f"{machine}-g++")
    for program, package in ((compiler[1], f"g++-{machine}"), (emulator, "qemu-user-static")):
        if not shutil.which(program):
            pytest.skip(f"needs {program} (Debian: apt-get install {package})")
    program = compiled(made[name], tmp_path / "net", compiler, "-O3", "-static")
    compare(made[name], [emulator, "-cpu", processor, program], tmp_path)


def test_a_run_calls_nothing_that_allocates(made: dict[str, Made], tmp_path: Path) -> None:
    for name, allowed in (("tangle", set()), ("mixed", {"ep_network_open", "ep_network_run", "ep_network_close"})):
        subprocess.run(["cc", "-O3", "-c", made[name].file, f"-I{SOURCES[0].parent}", "-o", tmp_path / "net.o"], check=True)
        said = subprocess.run(["nm", "-u", tmp_path / "net.o"], capture_output=True, text=True, check=True).stdout
        assert set(re.findall(r"U (\w+)", said)) <= {"memcpy", "memset", "expf", "_GLOBAL_OFFSET_TABLE_"} | allowed


def test_memory_is_used_again(tmp_path: Path) -> None:
    graph = graph_of(nn.Sequential(*[nn.Conv2d(4, 4, 3, padding=1) for _ in range(9)]), (1, 4, 10, 10))
    (file,) = C().export(model_of(graph), graph, tmp_path / "deep", [], {})
    (floats,) = re.findall(r"static float memory\[(\d+)\]", file.read_text())
    assert int(floats) == 2 * 400 + 4 * 12 * 12  # what a layer takes and gives, and what it takes with its border


def test_the_same_model_gives_the_same_bytes_which_say_what_they_are(tmp_path: Path) -> None:
    texts = []
    for place in ("a", "b"):
        graph = Graph(build("cnn"), INPUTS, ("logits",))
        (file,) = C().export(model_of(graph), graph, tmp_path / place / "3 cnn.v1", [], PROVENANCE)
        assert file.name == "3 cnn.v1.c"
        texts.append(file.read_text())
    assert texts[0] == texts[1]
    assert not re.search(r"/tmp|/root|/home|\.py\b|site-packages", texts[0])
    interface, provenance = texts[0].splitlines()[:2]
    assert json.loads(provenance.removeprefix("// edgepress ")) == PROVENANCE
    assert json.loads(interface.removeprefix("// edgepress.c/1 ")) == {
        "name": "_3_cnn_v1", "input": ["image", 1, 1, 8, 8], "output": ["logits", 1, 10], "kernels": False,
    }  # fmt: skip
    for declared in (
        "int _3_cnn_v1_open(void);",
        "void _3_cnn_v1_run(const float* in, float* out);",
        "void _3_cnn_v1_close(void);",
    ):
        assert declared in texts[0].splitlines()
    assert "#define _3_cnn_v1_INPUT 64" in texts[0]


class Sum(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b


class Applied(nn.Module):
    """A function of an image."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


SUPPORTED = "(it has adaptive_avg_pool2d, add, alias, avg_pool2d, batch_norm, "
ONES, ONE, NONE = torch.ones(1, 2, 3, 3), torch.ones(1, 1, 2, 2), torch.full((1, 2, 2, 2), torch.nan)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (torch.sin, f"a C file has no operator sin {SUPPORTED}"),
        (lambda x: x.argmax(1), "a C file has no operator argmax"),
        (lambda x: x + x[:, :1], "a C file has no operator slice"),
        (lambda x: x + ONES, "a C file has add of what is computed only, and this one's other is a constant"),
        (lambda x: x + x.mean((2, 3), keepdim=True), r"a C file has no add of different shapes"),
        (lambda x: torch.add(x, x, alpha=2), r"a C file has no add of different shapes or with a factor"),
        (lambda x: x.mean(1), r"a C file has no mean over dimensions [1] of 4, only over the last ones"),
        (lambda x: functional.conv2d(x, x), "a C file has conv2d with constant weights only, and this one's weight is computed"),
        (lambda x: functional.conv2d(x.view(2, 1, 3, 3), ONE), "no conv2d of several samples at once"),
        (lambda x: functional.conv2d(x, NONE), "no weights that are not finite"),
    ],
)
def test_what_it_has_not_is_named(function: Callable[[torch.Tensor], torch.Tensor], said: str, tmp_path: Path) -> None:
    graph = graph_of(Applied(function), (1, 2, 3, 3))
    with pytest.raises(Unsupported, match=re.escape(said)) as caught:
        C().export(model_of(graph), graph, tmp_path / "x", [], {})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_integers_adapters_and_other_inputs_are_unsupported(tmp_path: Path) -> None:
    graph = graph_of(build("mlp"), (1, 1, 8, 8))
    with pytest.raises(Unsupported, match="a C file's real layers are float32"):
        C().export(model_of(graph, Precision("static")), graph, tmp_path / "x", [], {})
    with pytest.raises(Unsupported, match="no inputs for an adapter"):
        C().export(replace(model_of(graph), adapter=("a",)), graph, tmp_path / "x", [], {})
    spec = TensorSpec((1, 2))
    two = Graph(Sum(), {"a": spec, "b": spec}, ("y",))
    with pytest.raises(Unsupported, match="this graph takes float32 a, float32 b and gives y"):
        C().export(model_of(two), two, tmp_path / "x", [], {})
    whole = replace(graph, inputs={"x": TensorSpec((1, 1, 8, 8), "int64")})
    with pytest.raises(Unsupported, match="this graph takes int64 x"):
        C().export(model_of(whole), whole, tmp_path / "x", [], {})
    assert list(tmp_path.iterdir()) == []
