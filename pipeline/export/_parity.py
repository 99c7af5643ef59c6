"""Does the exported file compute what the torch module computes?"""

from __future__ import annotations

import math

import numpy as np

from pipeline.core import Array, Arrays, ParityError, Predict
from reports.record import Parity


def check(reference: Predict, exported: Predict, samples: list[Arrays], tolerance: float) -> Parity:
    """Largest |difference| over all outputs of all samples, for float files.

    Raises ParityError for outputs that are missing, unexpected, of another shape or not finite where the module's are.
    """
    if not samples:
        raise ParityError("parity needs at least one sample")
    worst = max(difference(reference(sample), exported(sample)) for sample in samples)
    return Parity(max_abs_diff=worst, tolerance=tolerance, ok=worst <= tolerance)


def difference(expected: Arrays, found: Arrays) -> float:
    """Largest |difference| of a file's outputs to the module's; ParityError as `check`."""
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        raise ParityError(f"the file's outputs are not the module's: missing {missing or 'none'}, extra {extra or 'none'}")
    return max(_distance(name, expected[name], found[name]) for name in expected)


def _distance(name: str, expected: Array, found: Array) -> float:
    if expected.shape != found.shape:
        raise ParityError(f"output {name!r} has shape {list(found.shape)} in the file and {list(expected.shape)} in the module")
    if not np.isfinite(found).all():
        count = int(np.count_nonzero(~np.isfinite(found)))
        raise ParityError(f"output {name!r} of the file has {count} values that are not finite")
    difference = np.abs(expected.astype(np.float64) - found.astype(np.float64))
    largest = float(difference.max(initial=0.0))
    if math.isnan(largest):
        raise ParityError(f"output {name!r} of the module is not finite")
    return largest
