"""Weights on a grid: every runtime computes what torch does with them, from a file that holds them in few bits."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.compress._grid import on_grid, scales
from pipeline.compress._weights import weights
from pipeline.core import Graph, Precision, TensorSpec
from pipeline.export._parity import check
from pipeline.registry import find
from tests.pipeline.export.conftest import FORMATS, INPUTS, PREDICTORS, build, images, model_of

KINDS = ((8, None), (4, None), (4, 16))


class Attending(nn.Module):
    """An embedding that makes the logits too, a norm whose weights a converter may fold into the matrix behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(65, 32), nn.LayerNorm(32)
        nn.init.uniform_(self.norm.weight, 0.5, 2.0)
        self.wide, self.narrow = nn.Linear(32, 128), nn.Linear(128, 32)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        x = x + self.narrow(self.wide(self.norm(x)).relu())
        return (self.norm(x) @ self.embedding.weight.T).sum(1)


def rounded(module: nn.Module, bits: int, group: int | None) -> nn.Module:
    """The module with all weights on the grid whose inputs the group divides."""
    module = copy.deepcopy(module)
    for weight in weights(module).values():
        if weight[0].numel() % (group or 1) == 0:
            weight.data.copy_(on_grid(weight.data, scales(weight.data, bits, group), bits))
    return module.eval()


def files_of(form: str, graph: Graph, precision: Precision | None, path: Path) -> list[Path]:
    return find("format", form)().export(model_of(graph, precision), graph, path, [], {})  # type: ignore[no-any-return]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("bits", "group"), KINDS)
@pytest.mark.parametrize("architecture", ["mlp", "cnn", "gru"])
def test_every_runtime_computes_what_torch_does(form, bits, group, architecture, tmp_path):
    graph = Graph(rounded(build(architecture), bits, group), INPUTS, ("logits",))
    precision = Precision("float", weight_bits=bits, group=group)
    files, plain = (files_of(form, graph, each, tmp_path / str(each is None)) for each in (precision, None))
    parity = check(PREDICTORS[form](plain), PREDICTORS[form](files), images(6, seed=3), 2e-5)
    assert parity.ok, parity
    saved = sum(file.stat().st_size for file in plain) - sum(file.stat().st_size for file in files)
    matrices = sum(weight.numel() for weight in weights(graph.module).values() if weight[0].numel() % (group or 1) == 0)
    # A GRU that LiteRT unrolls has small constants of its own for every time step, which are left as they are.
    assert saved > 0.55 * (32 - bits) / 8 * matrices


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("bits", "group"), KINDS)
def test_a_norm_before_a_matrix_and_a_table_that_is_read_twice_are_exact_too(form, bits, group, tmp_path):
    torch.manual_seed(0)
    graph = Graph(rounded(Attending(), bits, group), {"tokens": TensorSpec((1, 12), "int64")}, ("logits",))
    precision = Precision("float", weight_bits=bits, group=group)
    files, plain = (files_of(form, graph, each, tmp_path / str(each is None)) for each in (precision, None))
    kind = "int32" if form == "tflite" else "int64"
    samples = [{"tokens": torch.randint(65, (1, 12)).numpy().astype(kind)} for _ in range(4)]
    assert check(PREDICTORS[form](plain), PREDICTORS[form](files), samples, 1e-4).ok
    assert sum(file.stat().st_size for file in files) < sum(file.stat().st_size for file in plain) - 20_000


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_model_gives_the_same_bytes_and_what_is_on_no_grid_stays_float(form, tmp_path):
    graph = Graph(rounded(build("cnn"), 4, None), INPUTS, ("logits",))
    once, again = (files_of(form, graph, Precision("float", weight_bits=4), tmp_path / name / "m") for name in "ab")
    assert [file.read_bytes() for file in once] == [file.read_bytes() for file in again]
    plain = Graph(build("cnn"), INPUTS, ("logits",))
    float_files = files_of(form, plain, None, tmp_path / "c" / "m")
    unrounded = files_of(form, plain, Precision("float", weight_bits=4), tmp_path / "d" / "m")
    assert check(PREDICTORS[form](float_files), PREDICTORS[form](unrounded), images(3, seed=1), 0).ok
