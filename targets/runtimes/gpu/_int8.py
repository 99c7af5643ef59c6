"""Dynamic int8 (W8A8) of linear layers, on integer matrix units.

    y = (q(x) @ q(W)^T) * s_x * s_W + b      q(v) = round(v / s) clamped to +-127,  s = max|v| / 127

`s_W` is one scale an output channel, `s_x` one a row of x, found anew in each call (Dettmers et al. 2022, LLM.int8(), without
its outliers). The sums are exact in int32. Everything but the linear layers stays float32. It does not pay for small layers or
few rows: finding the scales then costs more than the product.
"""

from __future__ import annotations

from typing import final

import torch

LARGEST = 127
MULTIPLE, ROWS = 8, 17
"""What cuBLAS asks of an int8 product: inner and outer sizes are multiples of 8, at least 17 rows. Zeros fill up."""


@final
class Int8Linear(torch.nn.Module):
    """A float32 torch.nn.Linear in int8. Inputs (..., in_features) and outputs (..., out_features) are float32."""

    quantized: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        self.spare, self.out_features = -weight.shape[1] % MULTIPLE, weight.shape[0]
        quantized, scale = _quantize(weight)
        padding = (0, self.spare, 0, -self.out_features % MULTIPLE)
        self.register_buffer("quantized", torch.nn.functional.pad(quantized, padding))
        self.register_buffer("scale", scale.T)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The product of the rows of x, as if they were alone."""
        rows = x.reshape(-1, x.shape[-1])
        quantized, scale = _quantize(rows)
        filled = torch.nn.functional.pad(quantized, (0, self.spare, 0, ROWS))  # always: no branch on a size that is open
        sums = torch._int_mm(filled, self.quantized.T)[: rows.shape[0], : self.out_features]
        y = sums * scale * self.scale
        return (y if self.bias is None else y + self.bias).reshape(*x.shape[:-1], self.out_features)


def lower(module: torch.nn.Module) -> int:
    """Replaces every linear layer inside a module, in place; how many that were."""
    count = 0
    for name, child in module.named_children():
        if type(child) is torch.nn.Linear:  # a subclass is read by its owner, which wants the float weight
            setattr(module, name, Int8Linear(child))
            count += 1
        else:
            count += lower(child)
    return count


def _quantize(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row as int8, and its scale (rows, 1); a row of zeros has any."""
    scale = rows.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / LARGEST
    return (rows / scale).round().clamp(-LARGEST, LARGEST).to(torch.int8), scale
