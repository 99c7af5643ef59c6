"""Weight sharing: each tensor's weights take few values, so that what travels is a codebook and small numbers."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, final

from annotated_types import Ge, Gt, Le

from pipeline.compress._tuning import taught
from pipeline.core import Context, Facts, Model, Promise, Technique

if TYPE_CHECKING:
    import torch

NUMBERS = "cluster_numbers_"
ROUNDS = 50
"""Of Lloyd's algorithm, which in one dimension has settled by then."""


@final
@dataclass(frozen=True)
class Cluster(Technique):
    """Replaces each weight by its tensor's nearest centroid, then trains the centroids:

        minimise over c, a the sum over a tensor's nonzero weights of (w - c[a(w)])^2

    by k-means, started from values evenly spaced between the smallest and the largest (Han, Mao & Dally 2016, "Deep
    Compression", arXiv:1510.00149). While training on, each cluster moves as one: after a step it takes the mean of its
    weights. Zeros stay zeros and cost no centroid, so it belongs behind `prune_unstructured`. Centroids are rounded to
    float16, biases are clustered too; tensors of fewer than four weights a cluster stay as they are.

    An exported float file then travels as a coded file (pipeline/coded_file.py), which is what the report's bundle counts.
    It does not pay in the file's bytes nor in time, because runtimes load float32; nor where an exporter changes the weights
    (normalization folded into convolutions, int8, the gates of recurrent layers put in another order).
    """

    clusters: Annotated[int, Ge(2), Le(256)] = 16
    """Distinct nonzero values of a tensor."""
    teacher: Annotated[float, Ge(0), Le(1)] = 0.0
    """Weight of the uncompressed reference's soft outputs in the loss, as in `distill`; 0 is the family's own loss."""
    epochs: Annotated[int, Ge(1)] | None = None
    """Of training the centroids; None: half of the model's preset."""
    learning_rate: Annotated[float, Gt(0)] | None = None

    def apply(self, model: Model, context: Context) -> Model:
        """The clustered model, its centroids trained."""
        from pipeline.train import fit, tuning

        family, module = model.family.build(), copy.deepcopy(model.module)
        # The best epoch of a validation would be judged between a step and the next sharing: all epochs are run.
        options = replace(tuning(context.train, self.epochs, self.learning_rate), patience=None)
        for name, parameter in self._shared(module):
            module.register_buffer(name, _numbers(parameter.detach(), self.clusters))  # a resumed training has the same ones
        fit(module, family, options, context, loss=taught(family, context, self.teacher), pace=self._share)
        self._share(module, 1.0)
        for name, parameter in self._shared(module):
            halves = parameter.data.half().float()
            parameter.data = halves if bool(halves.isfinite().all()) else parameter.data
            delattr(module, name)
        return replace(model, module=module)

    def promise(self, before: Facts, after: Facts) -> Promise:
        """Neither the file nor the time changes; what travels does."""
        return Promise(1.0, 1.0, ("bundle",))

    def _shared(self, module: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
        """The parameters that are clustered, with the name of the buffer that holds their clusters' numbers."""
        large = [each for each in module.parameters() if each.is_floating_point() and each.numel() >= 4 * self.clusters]
        return [(f"{NUMBERS}{index}", parameter) for index, parameter in enumerate(large)]

    def _share(self, module: torch.nn.Module, done: float) -> None:
        """Sets every weight to its cluster's mean; cluster 0 is zero."""
        import torch

        for name, parameter in self._shared(module):
            numbers = module.get_buffer(name).long().flatten()
            weight = parameter.data.flatten().double()
            sums = torch.bincount(numbers, weight, self.clusters + 1)
            means = sums / torch.bincount(numbers, minlength=self.clusters + 1).clamp(min=1)
            means[0] = 0
            parameter.data.copy_(means[numbers].view(parameter.shape))


def _numbers(weight: torch.Tensor, clusters: int) -> torch.Tensor:
    """Each weight's cluster, 1 to `clusters`, 0 for zeros: int16 like the weight."""
    import torch

    values = weight[weight != 0].double()
    numbers = torch.zeros(weight.shape, dtype=torch.int16)
    if not len(values):
        return numbers
    centroids = torch.linspace(float(values.min()), float(values.max()), clusters, dtype=torch.float64)
    for _ in range(ROUNDS):
        nearest = torch.bucketize(values, (centroids[1:] + centroids[:-1]) / 2)
        counts = torch.bincount(nearest, minlength=clusters)
        means = torch.bincount(nearest, values, clusters) / counts.clamp(min=1)
        moved = torch.where(counts > 0, means, centroids)
        if torch.equal(moved, centroids):
            break
        centroids = moved
    numbers[weight != 0] = (torch.bucketize(values, (centroids[1:] + centroids[:-1]) / 2) + 1).short()
    return numbers
