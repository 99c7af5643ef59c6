"""Steps of recurrent networks in int8: the state goes out of the graph and is read inside it too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core import Graph, Precision, TensorSpec
from pipeline.export._trace import run
from pipeline.registry import find
from tests.pipeline.export.conftest import FORMATS, PREDICTORS, model_of

HIDDEN = 32
STATES = {"lstm": ("hidden", "cell"), "gru": ("hidden",), "rnn": ("hidden",)}
LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Step(nn.Module):
    """One step of a recurrent layer; the head reads the state that also goes out."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.recurrent, self.head = LAYERS[kind](8, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 10)

    def forward(self, x: torch.Tensor, *states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = tuple(state.transpose(0, 1).contiguous() for state in states)
        out, after = self.recurrent(x[:, None], given if len(given) > 1 else given[0])
        after = after if isinstance(after, tuple) else (after,)
        return (self.head(out[:, -1]), *(state.transpose(0, 1) for state in after))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", STATES)
def test_int8_loads_and_keeps_logits_and_states(form: str, kind: str, tmp_path: Any) -> None:
    torch.manual_seed(0)
    inputs = {"x": TensorSpec((1, 8)), **{name: TensorSpec((1, 1, HIDDEN)) for name in STATES[kind]}}
    graph = Graph(Step(kind).eval(), inputs, ("logits", *(f"next_{name}" for name in STATES[kind])))
    draw = np.random.default_rng(0)
    samples = [
        {name: draw.uniform(-1, 1, spec.shape).astype(np.float32) * (4 if name == "x" else 1) for name, spec in inputs.items()}
        for _ in range(64)
    ]
    model = model_of(graph, Precision("static", calibration_samples=32))
    predict = PREDICTORS[form](find("format", form)().export(model, graph, tmp_path / "step", samples[:32], {}))
    for name in graph.outputs:
        wanted, found = (np.array([each(arrays)[name] for arrays in samples]) for each in (lambda a: run(graph, a), predict))
        assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > 0.995, name
