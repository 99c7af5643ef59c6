"""WaveNet: sound, sample after sample, by dilated causal convolutions that reach far back; deployed as one fast step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast, final

import torch
from annotated_types import Gt, Len
from torch import nn
from torch.nn import functional

from models.tasks._mu_law import LEVELS, SILENCE
from models.tasks.waveform import STEPS, Waveform
from pipeline.core import Domain, Family, Graph, TensorSpec, Train
from pipeline.errors import UserError

NOT_JUDGED = -1
"""Marks the targets before a sound's start."""


@final
@dataclass(frozen=True)
class WaveNet(Family):
    """Layers of two taps, the sample now and the one `dilation` before it, with gates tanh(a) * sigmoid(b), residual and skips.

    Each layer also hears which digit is to be said. Trained on whole sounds at once; deployed as two graphs over one set of
    weights. "step" makes one sample: what each layer saw `dilation` samples ago comes in, what it sees now comes out, and the
    queues between lie with the caller, so that a sample costs one pass of small matrices instead of the whole field of view
    again. "prefill" reads a sound and fills the queues.
    Sources: A. van den Oord et al., "WaveNet: a generative model for raw audio" (2016, arXiv:1609.03499); the step, T. L. Paine
    et al., "Fast Wavenet generation algorithm" (2016, arXiv:1611.09482).
    """

    dilations: Annotated[tuple[Annotated[int, Gt(0)], ...], Len(1)] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    """Of the layers, in samples; their sum is how far back the network hears."""
    channels: Annotated[int, Gt(0)] = 32
    """Of the residual stream and of each gate."""
    skip: Annotated[int, Gt(0)] = 64
    """Channels of the sum that all layers add to, which makes the logits."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies both."""

    presets: ClassVar = {
        "quick": Train(epochs=1, batch=8, samples=256, learning_rate=4e-3, augment=False),
        "full": Train(epochs=7, batch=4, learning_rate=3e-3, weight_decay=0.0, augment=False),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Codes int64 [N, T], labels int64 [N] -> logits [N, T, 256] of the codes after them. UserError for what is no sound."""
        if "codes" not in domain.inputs or "start" not in domain.targets or not domain.classes:
            raise UserError(f"wavenet: {domain.name} has no labelled sounds of mu-law codes, with where each starts")
        if (length := domain.inputs["codes"].shape[1]) <= STEPS:
            raise UserError(
                f"wavenet: sounds of {length} samples do not fit; of more than the {STEPS} that are read one by one do"
            )
        return Network(domain.classes, self.dilations, self._channels, max(1, round(self.skip * self.width)))

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Logits [N, T, 256] of all codes, each of those before it."""
        return {"logits": module(functional.pad(batch["codes"][:, :-1], (1, 0), value=SILENCE), batch["label"])}

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy in nats a sample of sound."""
        codes = batch["codes"]
        silent = torch.arange(codes.shape[1], device=codes.device) < batch["start"][:, None]
        wanted = codes.masked_fill(silent, NOT_JUDGED).flatten()
        return functional.cross_entropy(outputs["logits"].flatten(0, 1), wanted, ignore_index=NOT_JUDGED)

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The step, and the prefill of all but the last `Waveform.steps` samples."""
        network, one = cast("Network", module), TensorSpec((1,), "int64")
        past = TensorSpec((1, len(self.dilations), self._channels))
        sound = TensorSpec((1, self.task(domain).known), "int64")
        return {
            "step": Graph(Step(network), {"code": one, "label": one, "past": past}, ("logits", "present")),
            "prefill": Graph(Prefill(network), {"codes": sound, "label": one}, ("logits", "queues")),
        }

    def task(self, domain: Domain) -> Waveform:
        """Bits a sample."""
        return Waveform(domain.inputs["codes"].shape[1], self.dilations, self._channels)

    @property
    def _channels(self) -> int:
        return max(1, round(self.channels * self.width))


class Network(nn.Module):
    """The layers, their conditions, and the two last ones that make logits of the skips' sum."""

    def __init__(self, classes: int, dilations: tuple[int, ...], channels: int, skip: int) -> None:
        super().__init__()
        self.dilations = dilations
        self.code = nn.Embedding(LEVELS, channels)
        self.label = nn.Embedding(classes, len(dilations) * 2 * channels)
        nn.init.normal_(self.label.weight, std=0.1)
        self.layers = nn.ModuleList(Layer(channels) for _ in dilations)
        # The sum of all layers' skips is one product with the weights side by side.
        self.skips = nn.Linear(len(dilations) * channels, skip)
        self.hidden = nn.Linear(skip, skip)
        self.last = nn.Linear(skip, LEVELS)

    def forward(self, codes: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Codes int64 [N, T], labels int64 [N] -> logits [N, T, 256] of the code after each."""
        return self.read(codes, label)[0]

    def read(self, codes: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Logits, and what each layer saw in the last `dilation` samples [N, dilation, channels], oldest first."""
        x, length, gated, queues = self.code(codes), codes.shape[1], [], []
        for layer, dilation, condition in zip(self.layers, self.dilations, self.conditions(label), strict=True):
            late = functional.pad(x, (0, 0, dilation, 0))
            x, out = layer(late[:, :length], x, condition[:, None])
            gated.append(out)
            queues.append(late[:, length:])
        return self.logits(gated), queues

    def conditions(self, label: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What a label [N] adds to each layer's gates, [N, 2 channels]."""
        each: tuple[torch.Tensor, ...] = self.label(label).chunk(len(self.dilations), dim=1)
        return each

    def logits(self, gated: list[torch.Tensor]) -> torch.Tensor:
        """Of all layers' gated outputs [..., channels]."""
        found = functional.relu(self.hidden(functional.relu(self.skips(torch.cat(gated, dim=-1)))))
        logits: torch.Tensor = self.last(found)
        return logits


class Layer(nn.Module):
    """A convolution of two taps, gated; the residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.taps = nn.Linear(2 * channels, 2 * channels)
        self.residual = nn.Linear(channels, channels)

    def forward(self, before: torch.Tensor, now: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both taps [..., channels] -> the next layer's input and what goes to the skips, both [..., channels]."""
        signal, gate = (self.taps(torch.cat([before, now], dim=-1)) + condition).chunk(2, dim=-1)
        out = signal.tanh() * gate.sigmoid()
        return now + self.residual(out), out


class Step(nn.Module):
    """The network on one sample, given what each layer saw its dilation ago."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, code: torch.Tensor, label: torch.Tensor, past: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Code and label int64 [N], past [N, layers, channels] -> logits [N, 256], and what the layers see now, as past."""
        x, gated, seen = self.network.code(code), [], []
        for index, (layer, condition) in enumerate(zip(self.network.layers, self.network.conditions(label), strict=True)):
            seen.append(x)
            x, out = layer(past[:, index], x, condition)
            gated.append(out)
        return self.network.logits(gated), torch.stack(seen, dim=1)


class Prefill(nn.Module):
    """The network on a whole sound."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, codes: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes int64 [N, P], label [N] -> logits [N, P, 256], queues [N, sum of dilations, channels], layer by layer."""
        logits, queues = self.network.read(codes, label)
        return logits, torch.cat(queues, dim=1)
