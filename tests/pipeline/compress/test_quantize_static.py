"""Static quantization is a policy: weights stay float until an exporter lowers them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pipeline.compress.quantize_static import QuantizeStatic
from pipeline.core import Context, Model, Precision


def test_it_sets_the_precision_and_nothing_else(untrained: Callable[..., Model], context: Context) -> None:
    model = untrained()
    quantized = QuantizeStatic(calibration_samples=7, per_channel=False, calibration="percentile").apply(model, context)
    assert quantized.precision == Precision("static", per_channel=False, calibration="percentile", calibration_samples=7)
    assert quantized.module is model.module
    assert quantized.facts.weight_bits == 8
    assert next(quantized.module.parameters()).dtype == torch.float32
