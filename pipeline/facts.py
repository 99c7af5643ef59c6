"""Size and work of a module, counted by running it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.core import Facts, Graph

if TYPE_CHECKING:
    import torch

FEW = 256
"""So many distinct values at most make a codebook."""


def measure(graphs: Mapping[str, Graph]) -> Facts:
    """Parameters of all deployed graphs, and the multiply-accumulates of one inference of the first.

    Torch's flop counter counts matrix products and convolutions (2 flops a multiply-accumulate), recurrent layers included.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    first = next(iter(graphs.values()))
    inputs = [torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in first.inputs.values()]
    counter = FlopCounterMode(display=False)
    training = first.module.training
    first.module.eval()
    try:
        with counter, torch.no_grad():
            first.module(*inputs)
    finally:
        first.module.train(training)
    return Facts(sum(parameter.numel() for parameter in _parameters(graphs)), macs=counter.get_total_flops() // 2)


def coded_bits(graphs: Mapping[str, Graph]) -> float:
    """Mean bits of a parameter as it travels at best, each tensor's values coded by how often they come."""
    every = _parameters(graphs)
    return sum(_coded_bits(each.detach()) * each.numel() for each in every) / max(1, sum(each.numel() for each in every))


def _parameters(graphs: Mapping[str, Graph]) -> list[torch.nn.Parameter]:
    """Those of all graphs, shared ones once."""
    return list({id(each): each for graph in graphs.values() for each in graph.module.parameters()}.values())


def _coded_bits(weight: torch.Tensor) -> float:
    """Shannon's bound and the table of the values; where they are many, the bits that say which are zero, and 32 for the rest.

    >>> import torch
    >>> _coded_bits(torch.tensor([0.0, 1.0] * 32)), _coded_bits(torch.rand(4096))
    (2.0, 32.0)
    """
    import torch

    values, counts = torch.unique(weight, return_counts=True)
    size = weight.numel()
    table = 32.0 * len(values)
    if len(values) > FEW:
        zeros = int((weight == 0).sum())
        counts, table = torch.tensor([zeros, size - zeros]), 32.0 * (size - zeros)
    shares: list[float] = (counts / size).tolist()
    return min(32.0, table / size - sum(share * math.log2(share) for share in shares if share))
