"""Dynamic quantization is a policy: weights stay float until an exporter lowers them, and no samples are needed."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.compress.quantize_dynamic import QuantizeDynamic
from pipeline.core import Context, Model, Precision


def test_it_sets_the_precision_and_nothing_else(untrained: Callable[..., Model], context: Context) -> None:
    model = untrained()
    quantized = QuantizeDynamic(per_channel=False).apply(model, context)
    assert quantized.precision == Precision("dynamic", per_channel=False)
    assert quantized.module is model.module
    assert quantized.facts.weight_bits == 8
