"""Binarization: weights and activations of +-1, so that a product is an XNOR and a sum a count of bits."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

from annotated_types import Ge, Gt, Le

from pipeline.compress._called import only_called
from pipeline.compress._tuning import taught
from pipeline.core import Context, Domain, Facts, Json, Model, Outlook, Promise, Technique, Unsupported
from pipeline.errors import UserError, unknown
from pipeline.facts import measure

if TYPE_CHECKING:
    import torch

MOMENTUM = "momentum"
TIMES = 6.5
"""So many products of +-1 in the time of one of floats: what the kernels aim at; `make bench-kernels` says what they reach."""
HALF = 0.5
"""Of a progressive training: so long the weights stay real."""


@final
@dataclass(frozen=True)
class Binarize(Technique):
    """Linear and convolutional layers become y = scale * (sign(norm(x)) (*) sign(W)) + bias and the model is trained on.

    norm is a BatchNorm of the inputs; it and the scale, a number an output that begins as the mean |W| (Rastegari et al. 2016,
    "XNOR-Net", arXiv:1603.05279), become integer thresholds where layers follow each other. A sign has no gradient; what it is
    taken for backwards is, for the activations, by `estimator`:

        sign        clip(x, -1, 1): dy/dx = 1 within +-1, else 0 (Hubara et al. 2016, arXiv:1602.02830)
        polynomial  2x - x|x| within +-1: dy/dx = 2 - 2|x| (Liu et al. 2018, "Bi-Real Net", arXiv:1808.00278)

    The weights' signs are those of real latent weights, which take gradients as by `sign`; or there are none but the signs, and
    with `optimizer = "bop"` one is turned when the moving average m of its gradients, m = (1 - rate) m + rate g, is above
    `threshold` and has its sign (Helwegen et al. 2019, "Latent weights do not exist", arXiv:1906.02107; here the rate falls to 0
    with a cosine).

    It costs quality, most in small layers, and does not pay where no kernel for bits runs: as plain float layers a binary network
    gains nothing, in no runtime.
    """

    estimator: Literal["sign", "polynomial"] = "polynomial"
    optimizer: Literal["latent", "bop"] = "latent"
    rate: Annotated[float, Gt(0), Le(1)] = 1e-3
    """Of Bop's moving average, at first."""
    threshold: Annotated[float, Ge(0)] = 1e-8
    """Of Bop."""
    layers: tuple[str, ...] = ()
    """Names of layers, or shell patterns of names; none: all but the first and the last, which see real numbers and are seen, and
    but depthwise convolutions, whose sums of a few signs say little and take long."""
    progressive: bool = False
    """Whether only the activations are binary during the first half, and then the weights too (Martinez et al. 2020, "Training
    binary neural networks with real-to-binary convolutions", arXiv:2003.11535)."""
    teacher: Annotated[float, Ge(0), Le(1)] = 0.0
    """Weight of the uncompressed reference's soft outputs in the loss, as in `distill`; 0 is the family's own loss."""
    epochs: Annotated[int, Ge(1)] | None = None
    """None: as many as the model's preset."""
    learning_rate: Annotated[float, Gt(0)] | None = None

    def __post_init__(self) -> None:
        """Without latent weights there are no real ones to begin with."""
        if self.progressive and self.optimizer == "bop":
            raise UserError('binarize: progressive = true trains real weights first, and optimizer = "bop" has none')

    def check(self, outlook: Outlook) -> None:
        """Refuses names of layers that are none."""
        from pipeline.compress._binary import binarizable

        module = outlook.module()
        self._named([name for name, layer in module.named_modules() if name and binarizable(layer)])

    def apply(self, model: Model, context: Context) -> Model:
        """The binarized and trained model, whose binary weights are stored as +-1."""
        import torch

        from pipeline.compress._binary import binarizable, binarized, depthwise, products, sign
        from pipeline.train import fit, tuning

        family, module = model.family.build(), copy.deepcopy(model.module)
        batch = {name: torch.from_numpy(array) for name, array in context.data.batch("train", slice(0, 2)).items()}
        chosen = self._named(only_called(module, family, model.domain, batch, binarizable))
        if not chosen:
            raise Unsupported("binarize: between its first and its last layer the model has no linear or convolutional one")
        if not self.layers:
            chosen = [name for name in chosen if not depthwise(module.get_submodule(name))]
        for name in chosen:
            module.set_submodule(name, binarized(module.get_submodule(name), self.estimator))
        binary: list[Any] = [module.get_submodule(name) for name in chosen]
        pace = self._bop(binary) if self.optimizer == "bop" else lambda _, done: None

        def paced(trained: torch.nn.Module, done: float) -> None:
            for layer in binary:
                layer.real_weights = self.progressive and done < HALF
            pace(trained, done)

        # The best epoch of a validation could be one whose weights were not binary yet: all epochs are run.
        options = replace(tuning(context.train, self.epochs or context.train.epochs, self.learning_rate), patience=None)
        fit(module, family, options, context, loss=taught(family, context, self.teacher), pace=paced)
        for layer in binary:
            layer.real_weights = False
            layer.weight.data = sign(layer.weight.data)
            if hasattr(layer, MOMENTUM):
                delattr(layer, MOMENTUM)
        record = {"layers": chosen, "estimator": self.estimator}
        surgery = (*model.surgery, {"technique": "binarize", "record": record})
        signs = sum(layer.weight.numel() for layer in binary)
        size = measure(family.graphs(module.eval(), model.domain))
        bits = model.facts.weight_bits + (1 - model.facts.weight_bits) * signs / size.parameters
        counted = products(binary, lambda: family.forward(module, batch))
        facts = replace(size, weight_bits=bits, binary_macs=model.facts.binary_macs + counted)
        return replace(model, module=module, surgery=surgery, facts=facts)

    def promise(self, before: Facts, after: Facts) -> Promise:
        """A bit a weight of +-1; of the time of its products the part that the kernels are made to take."""
        faster = after.binary_macs - before.binary_macs
        return Promise(
            after.parameters * after.weight_bits / (before.parameters * before.weight_bits),
            1 - (1 - 1 / TIMES) * faster / after.macs,
            ("file", "bundle", "latency where our kernels run"),
        )

    def replay(self, module: torch.nn.Module, record: Json, domain: Domain) -> torch.nn.Module:
        """Puts binary layers in the places of the layers; `record` is {"layers": [name, ...], "estimator"}."""
        from pipeline.compress._binary import binarized

        for name in record["layers"]:
            module.set_submodule(name, binarized(module.get_submodule(name), record["estimator"]))
        return module

    def _named(self, names: list[str]) -> list[str]:
        """Of the layers' names those that are to be binary."""
        if not self.layers:
            return names[1:-1]
        for pattern in self.layers:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise unknown("layer", pattern, names, "binarize: layers")
        return [name for name in names if any(fnmatchcase(name, pattern) for pattern in self.layers)]

    def _bop(self, layers: list[Any]) -> Any:
        """Turns signs as soon as a gradient is there, and leaves none for the optimizer. Returns what follows the schedule."""
        import math

        import torch

        from pipeline.compress._binary import sign

        rate = self.rate
        for layer in layers:
            layer.weight.data = sign(layer.weight.data)
            layer.register_buffer(MOMENTUM, torch.zeros_like(layer.weight))  # a checkpoint holds it

            def turn(weight: torch.nn.Parameter, layer: Any = layer) -> None:
                if weight.grad is None or layer.real_weights:
                    return
                momentum = getattr(layer, MOMENTUM)
                momentum.lerp_(weight.grad, rate)
                weight.data[(momentum.abs() > self.threshold) & (sign(momentum) == weight.data)] *= -1
                weight.grad = None

            layer.weight.register_post_accumulate_grad_hook(turn)

        def pace(module: torch.nn.Module, done: float) -> None:
            nonlocal rate
            rate = self.rate * 0.5 * (1 + math.cos(math.pi * done))

        return pace
