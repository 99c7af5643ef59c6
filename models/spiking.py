"""Spiking convolutional network: leaky integrate-and-fire neurons, trained through a surrogate gradient (Neftci et al., 2019)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Gt, Le
from torch import nn

from models._classifier import Classifier
from models.tasks.spiking import Spiking as SpikingTask
from pipeline.core import Domain, Graph, Train
from pipeline.errors import UserError

INPUT_BITS = 6
"""Pixels are rounded to multiples of 2^-6, finer than one of 256 grey levels of a standardised image is."""
WEIGHT_BITS = 10
"""Weights of what spikes are rounded to multiples of 2^-10 in the deployed graph."""
LEAK = 0.5
"""Of the membrane's potential, what is left a time step later: a power of two, so that the product is exact."""
SLOPE = 2.0
"""alpha of the surrogate gradient (Fang et al., 2021)."""


@final
@dataclass(frozen=True)
class Spiking(Classifier):
    """LeNet's geometry with spikes for activations: two 5x5 convolutions with 2x2 max-pooling, then one linear layer.

    The image is a constant current into the first layer during `steps` time steps, unrolled. A neuron integrates and fires:

        v[t] = LEAK * v[t-1] + current[t] - spike[t-1]        spike[t] = H(v[t] - 1)

    with Heaviside's step H, a threshold of 1 and the reset by subtraction. The logits are the linear layer's output averaged
    over the steps, which is its output for the mean of the spikes. Sources: E. Neftci, H. Mostafa, F. Zenke, "Surrogate
    Gradient Learning in Spiking Neural Networks" (2019), and W. Fang et al., "Incorporating Learnable Membrane Time Constant"
    (2021) for the surrogate's shape (see `fire`).

    A spike is all or nothing: a current that another runtime sums in another order may differ by 1e-7, flip a spike and so
    change the answer by whole steps. The deployed weights and the pixels are therefore fixed-point numbers, as neuromorphic
    chips have them (Davies et al., 2018): every float32 sum is exact, in any order, and all runtimes fire the same spikes.
    """

    channels: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (16, 32)
    """Output channels of the two convolutions."""
    steps: Annotated[int, Ge(1), Le(8)] = 4
    """Time steps of an inference."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the channels."""

    presets: ClassVar = {
        "quick": Train(epochs=4, batch=64, samples=2048, learning_rate=5e-3, augment=False),
        "full": Train(epochs=6, learning_rate=3e-3),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Image [N, C, H, W] -> logits [N, classes], spikes [N]. Images under 16 px are padded, as LeNet-5 does."""
        _, depth, height, width = domain.inputs["image"].shape
        if min(height, width) < 8:
            raise UserError(f"spiking: images of {height}x{width} px are too small; at least 8x8 is needed")
        first, second = (max(1, round(count * self.width)) for count in self.channels)
        padding = 0 if min(height, width) >= 16 else 2
        rows, columns = (((size + 2 * padding - 4) // 2 + 2 * padding - 4) // 2 for size in (height, width))
        return SpikingNetwork(
            nn.Conv2d(depth, first, 5, padding=padding),
            nn.Conv2d(first, second, 5, padding=padding),
            nn.Linear(second * rows * columns, domain.classes),
            self.steps,
        )

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Logits and the number of spikes of the batch's images."""
        logits, spikes = module(batch["image"])
        return {"logits": logits, "spikes": spikes}

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The network with fixed-point weights: logits [1, classes], and how many spikes [1] that inference took."""
        return {"classifier": Graph(fixed_point(module), domain.inputs, ("logits", "spikes"))}

    def task(self, domain: Domain) -> SpikingTask:
        """Top-1 accuracy, and the spikes of an inference beside it."""
        return SpikingTask(graph="classifier")


class SpikingNetwork(nn.Module):
    """Convolutions whose neurons fire, unrolled over time, and a linear reading of what the last ones fired."""

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d, head: nn.Linear, steps: int) -> None:
        super().__init__()
        self.first, self.second, self.head = first, second, head
        self.pool = nn.MaxPool2d(2)
        self.steps = steps

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image [N, C, H, W] -> logits [N, classes], spikes [N] summed over layers and steps."""
        current = self.pool(self.first(torch.round(image * 2**INPUT_BITS) / 2**INPUT_BITS))
        first, second = Neurons(self.training), Neurons(self.training)
        for _ in range(self.steps):
            second.drive(self.pool(self.second(first.drive(current))))
        logits: torch.Tensor = self.head(second.fired.flatten(1) / self.steps)
        return logits, first.fired.sum((1, 2, 3)) + second.fired.sum((1, 2, 3))


class Neurons:
    """A layer's potentials while an inference runs, and what it has fired since the beginning."""

    def __init__(self, training: bool) -> None:
        self.training = training
        self.potential = self.fired = torch.zeros(())

    def drive(self, current: torch.Tensor) -> torch.Tensor:
        """One time step with this current [N, C, H, W] -> spikes of the same shape."""
        potential = LEAK * self.potential + current
        spikes = fire(potential - 1, self.training)
        self.potential = potential - spikes
        self.fired = self.fired + spikes
        return spikes


def fire(above: torch.Tensor, training: bool) -> torch.Tensor:
    """H(x): 1 where the potential is above the threshold by x > 0, else 0.

    H has no useful gradient. In training it gets that of s(x) = arctan(pi / 2 * SLOPE * x) / pi + 1 / 2, which is
    s'(x) = SLOPE / 2 / (1 + (pi / 2 * SLOPE * x)^2): strong for neurons that nearly fired or nearly did not.
    """
    spikes = (above > 0).to(above.dtype)
    if not training:
        return spikes
    soft = torch.atan(torch.pi / 2 * SLOPE * above) / torch.pi
    return spikes + soft - soft.detach()


def fixed_point(module: nn.Module) -> nn.Module:
    """A copy whose convolutions have weights and biases that are multiples of 2^-WEIGHT_BITS.

    A product with a pixel is then a multiple of 2^-16, and float32 with its 24 bits sums such numbers without rounding
    up to 2^8, far above any current here. All that follows until the spikes is one operation an element, which every
    runtime rounds alike.
    """
    copied = copy.deepcopy(module)
    with torch.no_grad():
        for layer in copied.modules():
            if isinstance(layer, nn.Conv2d):
                for parameter in layer.parameters():
                    parameter.copy_(torch.round(parameter * 2**WEIGHT_BITS) / 2**WEIGHT_BITS)
    return copied
