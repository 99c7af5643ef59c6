"""Gated recurrent unit (Cho et al., 2014) that reads the past day by day and forecasts the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn
from torch.nn import functional

from models.tasks.forecast import Forecast
from pipeline.core import Domain, Family, Graph, Train
from pipeline.errors import UserError


@final
@dataclass(frozen=True)
class GRUForecast(Family):
    """One GRU, the same for each variable, over patches of its history; a linear head on the last state.

    It reads and forecasts differences from the mean of the last patch, the level: one that training never saw changes nothing.
    Sources: patches and one network for all variables, Y. Nie et al., "A Time Series is Worth 64 Words" (2023,
    arXiv:2211.14730); the level taken out and put back, A. Zeng et al., "Are Transformers Effective for Time Series
    Forecasting?" (2023, arXiv:2205.13504).
    """

    hidden: Annotated[int, Gt(0)] = 64
    patch: Annotated[int, Gt(0)] = 24
    """Hours that the GRU reads in a step: a day."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Of the last state, while training."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the hidden units."""

    presets: ClassVar = {
        "quick": Train(epochs=2, batch=128, learning_rate=2e-3),
        "full": Train(epochs=12, batch=128, learning_rate=2e-3, patience=4),
    }

    def build(self, domain: Domain) -> nn.Module:
        """History [N, H, variables] -> forecast [N, T, variables]."""
        history, horizon = domain.inputs["history"].shape[1], domain.targets["future"].shape[1]
        if history % self.patch:
            raise UserError(f"gru_forecast: patch = {self.patch} hours does not divide the history of {history} hours")
        return PatchGRU(self.patch, max(1, round(self.hidden * self.width)), horizon, self.dropout)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The forecast of each window."""
        return {"forecast": module(batch["history"])}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Mean squared error."""
        return functional.mse_loss(outputs["forecast"], batch["future"])

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The forecaster, level and all, is deployed."""
        return {"forecaster": Graph(module, domain.inputs, ("forecast",))}

    def task(self, domain: Domain) -> Forecast:
        """Mean squared error."""
        return Forecast(graph="forecaster")


class PatchGRU(nn.Module):
    """A GRU over patches of each variable alone."""

    def __init__(self, patch: int, hidden: int, horizon: int, dropout: float) -> None:
        super().__init__()
        self.patch, self.horizon = patch, horizon
        self.rnn = nn.GRU(patch, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, horizon)

    def forward(self, history: torch.Tensor) -> torch.Tensor:
        """History [N, H, variables] -> forecast [N, T, variables]."""
        variables = history.shape[2]
        patches = history.transpose(1, 2).reshape(-1, history.shape[1] // self.patch, self.patch)  # [N * variables, steps, patch]
        level = patches[:, -1:].mean(dim=2, keepdim=True)
        states, _ = self.rnn(patches - level)
        forecast = self.head(self.dropout(states[:, -1])) + level[:, 0]
        future: torch.Tensor = forecast.reshape(-1, variables, self.horizon).transpose(1, 2)
        return future
