"""Size and work of a module, counted by running it."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core import Facts, Graph


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
    seen = {id(parameter): parameter.numel() for graph in graphs.values() for parameter in graph.module.parameters()}
    return Facts(parameters=sum(seen.values()), macs=counter.get_total_flops() // 2)
