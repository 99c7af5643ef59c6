"""Super-resolution by sub-pixel convolution: the network works on the small picture, and only its last layer makes it large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast, final

import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.nn import functional

from models import _adversary
from models._batch import only_input
from models._picture import shape_of
from models.tasks._resampling import matrix
from models.tasks.super_resolution import SuperResolution as Task
from pipeline.core import Domain, Graph, TensorSpec, Train


@final
@dataclass(frozen=True)
class SuperResolution(_adversary.Watched):
    """Convolutions on the small picture, of which the last has scale^2 outputs a colour that become the large picture's pixels.

    Minimises the mean absolute error; with `adversarial` above 0 also what a critic, trained along, tells made pictures from real
    ones by: they become sharper, and further from the original.
    Sources: W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural
    network" (2016, arXiv:1609.05158); the critic, C. Ledig et al., "Photo-realistic single image super-resolution using a
    generative adversarial network" (2017, arXiv:1609.04802).
    """

    channels: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] = (64, 32)
    """Of the two hidden layers."""
    scale: Annotated[int, Gt(1)] = 2
    """The large picture's sides over the small one's."""
    adversarial: Annotated[float, Ge(0)] = 0.0
    """Weight of the critic."""
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies the channels."""

    presets: ClassVar = {
        "quick": Train(epochs=6, batch=32, samples=2048, learning_rate=2e-3, augment=False),
        "full": Train(epochs=16, batch=64, learning_rate=2e-3, weight_decay=0.0, augment=False),
    }

    def build(self, domain: Domain) -> nn.Module:
        """Small picture [N, C, h, w] -> large one [N, C, scale h, scale w]. UserError for what cannot be made smaller."""
        colours, *_ = shape_of(domain, "super_resolution", self.scale, least=8 if self.adversarial else 1)
        first, second = (max(1, round(each * self.width)) for each in self.channels)
        return Enlarger(colours, first, second, self.scale, critic=self.adversarial > 0)

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Pictures made smaller and enlarged again, the originals, and, while training with a critic, its loss."""
        original = only_input(batch)
        height, width = original.shape[2:]
        rows, columns = (torch.tensor(matrix(side, side // self.scale)).to(original) for side in (height, width))
        enlarger = cast("Enlarger", module)
        enlarged = enlarger(rows @ original @ columns.T)
        outputs = {"enlarged": enlarged, "original": original}
        if enlarger.critic is not None and module.training:
            enlarger.variety.see(enlarged, original)
            outputs["judged"] = _adversary.judged(enlarger.critic, original, enlarged, self.adversarial)
        return outputs

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Mean absolute error, and the critic's loss."""
        error = functional.l1_loss(outputs["enlarged"], outputs["original"])
        return error + outputs["judged"] if "judged" in outputs else error

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """The network alone, for small pictures."""
        ((name, spec),) = domain.inputs.items()
        small = TensorSpec((*spec.shape[:2], *(side // self.scale for side in spec.shape[2:])))
        body = cast("Enlarger", module).body
        return {"enlarger": Graph(body, {name: small}, ("enlarged",))}

    def task(self, domain: Domain) -> Task:
        """Peak signal-to-noise ratio."""
        assert domain.pixels is not None  # `build` says so
        (name,) = domain.inputs
        return Task("enlarger", name, self.scale, *domain.pixels)


class Enlarger(nn.Module):
    """The network, and its critic where it has one."""

    def __init__(self, colours: int, first: int, second: int, scale: int, critic: bool) -> None:
        super().__init__()
        self.body = SubPixel(colours, first, second, scale)
        self.critic = _adversary.Critic(colours) if critic else None
        self.variety = _adversary.Variety()

    def forward(self, small: torch.Tensor) -> Any:
        """The large picture."""
        return self.body(small)


class SubPixel(nn.Module):
    """Three convolutions, and the shuffle of channels into pixels."""

    def __init__(self, colours: int, first: int, second: int, scale: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(colours, first, 5, padding=2)
        self.second = nn.Conv2d(first, second, 3, padding=1)
        self.last = nn.Conv2d(second, colours * scale * scale, 3, padding=1)
        self.scale = scale

    def forward(self, small: torch.Tensor) -> torch.Tensor:
        """[N, C, h, w] -> [N, C, scale h, scale w]."""
        found = self.last(functional.relu(self.second(functional.relu(self.first(small)))))
        return functional.pixel_shuffle(found, self.scale)
