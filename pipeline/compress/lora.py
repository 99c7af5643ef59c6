"""Low-rank adaptation: a model learns a new domain by small updates of its weights, merged or kept in a file of their own."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, final

from annotated_types import Ge, Gt

from pipeline.core import Context, Domain, Facts, Family, Json, Model, Outlook, Promise, Technique, Unsupported
from pipeline.errors import UserError, unknown

if TYPE_CHECKING:
    import torch


@final
@dataclass(frozen=True)
class Lora(Technique):
    """W' = W + (alpha / rank) B A with W [outputs, inputs], B [outputs, rank], A [rank, inputs]; only A and B are trained.

    Source: Hu et al. 2021, arXiv:2106.09685. A begins uniform, B as zeros. The other dimensions of a kernel [outputs, inputs,
    h, w] count as inputs, so that A is a kernel and B a 1x1 one (the authors' code mixes a window's rows into the rank, and
    then the two are no convolutions). An embedding's outputs are its rows. `dora` (Liu et al. 2024, arXiv:2402.09353) trains a
    length m of every row too: W' = m (W + (alpha / rank) B A) / |W + (alpha / rank) B A|, where m begins as |W| and what is
    stored and decays is m - |W|. Adapted are linear, convolutional, recurrent layers and embeddings. The model's own dropout is
    off: it hinders so few numbers more than it keeps them from overfitting.

    Merged, the model is as it was: it does not pay in bytes or time, only in what is trained, and the zeros or few values of
    a pruned or clustered base are gone. With `merged = false` the updates are a small file beside the base, swapped without
    loading the base again; each call is slower then, by rank * (inputs + outputs) products a layer and more. Where domains
    have little in common a low rank is not enough.
    """

    method: Literal["lora", "dora"] = "lora"
    rank: Annotated[int, Ge(1)] = 4
    """Of a layer with a smaller side: as many as that has."""
    alpha: Annotated[float, Gt(0)] = 8.0
    """The updates' scale is alpha / rank."""
    targets: tuple[str, ...] = ()
    """Names of layers, or shell patterns of names; none: all that can be adapted."""
    biases: bool = False
    """Whether biases and normalizations are trained too; they count, and cannot be kept apart."""
    merged: bool = True
    """Whether the updates are added to the weights; else they are an adapter of their own."""
    epochs: Annotated[int, Ge(1)] | None = None
    """None: half of the model's preset."""
    learning_rate: Annotated[float, Gt(0)] | None = None

    def __post_init__(self) -> None:
        """An adapter holds nothing but the updates."""
        if self.biases and not self.merged:
            raise UserError("lora: biases = true changes the base, which merged = false leaves as it is; give one of them")

    @property
    def keeps_weights(self) -> bool:
        """Those of the base, where the updates stay apart from them."""
        return not self.merged

    def check(self, outlook: Outlook) -> None:
        """Refuses targets that the model does not have."""
        self._chosen(outlook.module())

    def apply(self, model: Model, context: Context) -> Model:
        """The adapted model."""
        from pipeline.compress import _adapter as adapters
        from pipeline.train import fit, tuning

        family, module = model.family.build(), copy.deepcopy(model.module).eval()
        layers = self._chosen(module)
        for parameter in module.parameters():
            parameter.requires_grad_(self.biases and parameter.dim() < 2)
        adapters.attach(module, layers, self.rank, self.alpha / self.rank, self.method == "dora")
        adapters.begin(module, context.seed)
        _refuse_other_readers(module, family, context)
        trained = {name: each for name, each in module.named_parameters() if each.requires_grad}
        count = sum(each.numel() for each in trained.values())
        pace = partial(adapters.still, normalizations=not self.biases)
        fit(module, family, tuning(context.train, self.epochs, self.learning_rate), context, pace=pace)
        module.requires_grad_(True)
        model = model.after({"trained": count, "share": count / model.facts.parameters})
        if self.merged:
            adapters.merge(module)
            return replace(model, module=module)
        record = {"layers": layers, "rank": self.rank, "scale": self.alpha / self.rank, "magnitudes": self.method == "dora"}
        surgery = (*model.surgery, {"technique": "lora", "record": record})
        return replace(model, module=module, surgery=surgery, adapter=tuple(trained))

    def promise(self, before: Facts, after: Facts) -> Promise:
        """Merged nothing changes but what the model knows; apart the adapter's bytes come to those of the base."""
        where = ("quality",) if self.merged else ("quality", "an adapter's bytes for every further domain")
        return Promise(after.parameters / before.parameters, 1.0, where)

    def replay(self, module: torch.nn.Module, record: Json, domain: Domain) -> torch.nn.Module:
        """Gives the layers updates of the same shapes; `record` is {"layers": {name: [weight, ...]}, "rank", "scale", ...}."""
        from pipeline.compress import _adapter as adapters

        adapters.attach(module, record["layers"], record["rank"], record["scale"], record["magnitudes"])
        return module

    def _chosen(self, module: torch.nn.Module) -> dict[str, list[str]]:
        """The layers to adapt, and their weights."""
        from pipeline.compress._adapter import adaptable

        layers = adaptable(module)
        for pattern in self.targets:
            if not any(fnmatchcase(name, pattern) for name in layers):
                raise unknown("layer", pattern, layers, "lora: targets")
        chosen = {
            name: weights
            for name, weights in layers.items()
            if not self.targets or any(fnmatchcase(name, pattern) for pattern in self.targets)
        }
        if not chosen:
            raise Unsupported("lora: the model has no linear, convolutional or recurrent layer and no embedding")
        return chosen


def _refuse_other_readers(module: torch.nn.Module, family: Family, context: Context) -> None:
    """A family whose loss asks for a weight as a parameter, by its name, finds a sum there."""
    import torch

    batch = {name: torch.from_numpy(array) for name, array in context.data.batch("train", slice(0, 2)).items()}
    try:
        with torch.no_grad():
            family.loss(family.forward(module, batch), batch)
    except AttributeError as error:
        raise Unsupported(f"lora: the family reads an adapted weight by its name, which is a sum now ({error})") from error
