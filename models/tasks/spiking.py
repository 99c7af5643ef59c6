"""Classification by a spiking network: accuracy, and beside it what an inference costs in spikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.tasks import _mean
from models.tasks.classification import Classification
from pipeline.core import Arrays, Detail, Predict


@dataclass(frozen=True)
class Spiking(Classification):
    """Judges logits by accuracy, and counts the spikes of each inference as the graph that ships reports them."""

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Evidence {"correct": bool [N], "spikes": float64 [N]}."""
        made: Arrays = {}

        def noting(inputs: Arrays) -> Arrays:
            made.update(predictors[self.graph](inputs))
            return made

        evidence = super().collect({self.graph: noting}, samples)
        return {**evidence, "spikes": made["spikes"].astype(np.float64)}

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """Mean spikes of an inference; Student's t interval over the samples."""
        return (_mean.detail("spikes per inference", *_mean.alike(evidence["spikes"])),)
