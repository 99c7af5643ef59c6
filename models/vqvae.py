"""Vector-quantized autoencoder: a picture as a small grid of symbols, and a network that says which symbols follow which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast, final

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.nn import functional

from models import _codec
from models._batch import only_input
from models._causal import Causal
from models._codebook import Codebook
from models._picture import shape_of
from models.tasks.codes import Codes
from pipeline.core import Dataset, Domain, Family, Graph, TensorSpec, Train

SETTLED = 0.7
"""Codes that nothing is near are moved in this part of the training: after it the prior is to learn codes that stay."""


@final
@dataclass(frozen=True)
class VQVAE(Family):
    """Convolutions to a grid of vectors z, of each the nearest e of a codebook, convolutions back; a prior over the grid's codes.

    Minimises mean (x - x')^2 + mean (sg[z] - e)^2 + commitment mean (z - sg[e])^2 - mean log p(code | codes before it, label).
    sg[.] stops the gradient; that of x' passes from e to z as if they were one. The prior learns in the same steps, and changes
    nothing of the codes. Codes that few vectors are near are moved to vectors of late (P. Dhariwal et al. 2020, "Jukebox").
    Source: A. van den Oord et al., "Neural discrete representation learning" (2017, arXiv:1711.00937).
    It does not pay where a few numbers say all of a picture: the grid takes its bits whatever is in it.
    """

    codes: Annotated[int, Ge(2)] = 256
    dimension: Annotated[int, Gt(0)] = 16
    """Of the vectors."""
    channels: Annotated[int, Gt(0)] = 64
    """Of the convolutions at the grid's size; the picture's have half."""
    blocks: Annotated[int, Ge(0)] = 2
    """Residual blocks of the encoder, and of the decoder."""
    prior: Annotated[int, Gt(0)] = 48
    """Channels of the prior."""
    layers: Annotated[int, Gt(0)] = 4
    """Of the prior."""
    commitment: Annotated[float, Ge(0)] = 0.25
    width: Annotated[float, Gt(0)] = 1.0
    """Multiplies all channels, neither the codes nor their dimension."""

    presets: ClassVar = {
        "quick": Train(epochs=8, batch=64, samples=2048, learning_rate=2e-3, weight_decay=0.0, clip=None, augment=False),
        # Moved pictures would have a border that the others have not, and codes for it.
        "full": Train(epochs=10, batch=64, learning_rate=2e-3, weight_decay=0.0, clip=None, augment=False),
    }

    def build(self, domain: Domain) -> nn.Module:
        """The networks and the codebook. UserError for what is no labelled picture, or has sides that do not halve twice."""
        colours, *_ = shape_of(domain, "vqvae", _codec.REDUCTION, labelled=True)
        channels, prior = (max(2, round(each * self.width)) for each in (self.channels, self.prior))
        return _codec.Codec(
            encoder=_codec.encoder(colours, channels, self.blocks, self.dimension),
            codebook=Codebook(self.codes, self.dimension),
            decoder=_codec.decoder(colours, channels, self.blocks, self.dimension),
            prior=Causal(self.codes, domain.classes, prior, self.layers),
        )

    def begin(self, module: nn.Module, data: Dataset, seed: int) -> None:
        """Codes start as vectors of training samples."""
        codec = cast("_codec.Codec", module)
        chosen = np.random.default_rng(seed).permutation(data.size("train"))[: len(codec.codebook.used)]
        (name,) = data.domain.inputs
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            codec.codebook.remember(codec.encoder(torch.from_numpy(data.batch("train", chosen)[name])))
            codec.codebook.move(torch.ones_like(codec.codebook.used, dtype=torch.bool))

    def pace(self, module: nn.Module, done: float) -> None:
        """Moves codes out of use, while there is time to learn them."""
        if done < SETTLED:
            codebook = cast("_codec.Codec", module).codebook
            codebook.move(codebook.idle())

    def forward(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The picture made again, its vectors and the codebook's [N, dimension, h, w], codes [N, h, w], the prior's logits."""
        codec = cast("_codec.Codec", module)
        picture = only_input(batch)
        vectors = codec.encoder(picture)
        codes = codec.codebook.nearest(vectors)
        chosen = codec.codebook(codes)
        if module.training:
            codec.codebook.count(codes)
            codec.codebook.remember(vectors)
        return {
            "picture": picture,
            "made": codec.decoder(vectors + (chosen - vectors).detach()),
            "vectors": vectors,
            "chosen": chosen,
            "codes": codes,
            "logits": codec.prior(codes, batch["label"]),
        }

    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Squared errors of the picture and of the vectors, and the prior's nats a code."""
        vectors, chosen = outputs["vectors"], outputs["chosen"]
        return (
            functional.mse_loss(outputs["made"], outputs["picture"])
            + functional.mse_loss(chosen, vectors.detach())
            + self.commitment * functional.mse_loss(vectors, chosen.detach())
            + functional.cross_entropy(outputs["logits"], outputs["codes"])
        )

    def graphs(self, module: nn.Module, domain: Domain) -> dict[str, Graph]:
        """Codes to a picture, a picture to codes, and what each code may be, given those before it and the label."""
        codec = cast("_codec.Codec", module)
        ((name, spec),) = domain.inputs.items()
        codes = TensorSpec((1, *(side // _codec.REDUCTION for side in spec.shape[2:])), "int64")
        return {
            "decoder": Graph(_codec.Decode(codec), {"codes": codes}, (name,)),
            "encoder": Graph(_codec.Encode(codec), domain.inputs, ("codes",)),
            "prior": Graph(codec.prior, {"codes": codes, "label": TensorSpec((1,), "int64")}, ("logits",)),
        }

    def task(self, domain: Domain) -> Codes:
        """Mean squared error of the brightness."""
        assert domain.pixels is not None  # `build` says so
        (name,) = domain.inputs
        return Codes(name, self.codes, domain.classes, *domain.pixels)
