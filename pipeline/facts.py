"""Size and work of a module, counted by running it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core import Array, Facts, Graph

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
    training, onednn = first.module.training, torch.backends.mkldnn.enabled
    first.module.eval()
    # oneDNN's fused LSTM would hide its products from the counter.
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        with counter, torch.no_grad():
            first.module(*inputs)
    finally:
        torch.backends.mkldnn.enabled = onednn
        first.module.train(training)
    return Facts(sum(parameter.numel() for parameter in _parameters(graphs)), macs=counter.get_total_flops() // 2)


def coded_bits(graphs: Mapping[str, Graph]) -> float:
    """Mean bits of a parameter as it travels at best, each tensor's values coded by how often they come."""
    every = _parameters(graphs)
    total = sum(shannon_bits(each.detach().cpu().numpy()) * each.numel() for each in every)
    return total / max(1, sum(each.numel() for each in every))


def _parameters(graphs: Mapping[str, Graph]) -> list[torch.nn.Parameter]:
    """Those of all graphs, shared ones once."""
    return list({id(each): each for graph in graphs.values() for each in graph.module.parameters()}.values())


def shannon_bits(values: Array, bits: int = 32) -> float:
    """Shannon's bound on the mean bits of a value, with the table of what the values are, where each takes so many `bits`.

    Where they are many: the bits that say which are zero, and `bits` for each of the others.

    >>> shannon_bits(np.array([0.0, 1.0] * 32)), shannon_bits(np.arange(4096))
    (2.0, 32.0)
    """
    found, counts = np.unique(values, return_counts=True)
    table = bits * len(found)
    if len(found) > FEW:
        zeros = int(np.count_nonzero(values == 0))
        counts, table = np.array([zeros, values.size - zeros]), bits * (values.size - zeros)
    shares = counts[counts > 0] / values.size
    return float(min(bits, table / values.size - (shares * np.log2(shares)).sum()))
