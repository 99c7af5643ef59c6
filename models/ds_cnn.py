"""DS-CNN: depthwise-separable convolutions that spot spoken words (Zhang et al., "Hello Edge", 2017), as MLPerf Tiny has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from annotated_types import Ge, Gt, Lt
from torch import nn

from models._classifier import Classifier
from pipeline.core import Domain, Train


@final
@dataclass(frozen=True)
class DSCNN(Classifier):
    """A 10x4 convolution, blocks of a 3x3 depthwise and a 1x1 convolution, an average over the whole map, and a linear head.

    With 49 frames of 10 coefficients and 12 classes it has the 24,908 parameters of MLPerf Tiny's keyword spotting
    (Banbury et al., 2021), counted with the 1,152 running means and variances of batch normalisation: 23,756 weights.
    """

    channels: Annotated[int, Gt(0)] = 64
    blocks: Annotated[int, Ge(0)] = 4
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the channels."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Before the linear head."""

    presets: ClassVar = {
        "quick": Train(epochs=10, batch=64, samples=1024, learning_rate=1e-2),
        "full": Train(epochs=30, batch=64, learning_rate=5e-3),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Spectrogram (or image) [N, C, frames, coefficients] -> logits [N, classes]."""
        (spec,) = domain.inputs.values()
        channels = max(1, round(self.channels * self.width))
        return nn.Sequential(
            # Padded to 25 x 5 places out of 49 x 10, as many as the benchmark has.
            nn.Conv2d(spec.shape[1], channels, (10, 4), stride=2, padding=(5, 1)),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            *(depthwise_separable(channels) for _ in range(self.blocks)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(self.dropout),
            nn.Linear(channels, domain.classes),
        )


def depthwise_separable(channels: int) -> nn.Module:
    """Each channel's own 3x3 convolution, then a 1x1 convolution that mixes them; [N, channels, H, W] to the same shape."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 1),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )
