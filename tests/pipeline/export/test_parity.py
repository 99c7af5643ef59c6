import numpy as np
import pytest

from pipeline.core import ParityError
from pipeline.export._parity import check

SAMPLES = [{"x": np.array([value], np.float32)} for value in (1.0, -2.0, 3.0)]


def _reference(arrays):
    return {"y": arrays["x"] * 2, "z": arrays["x"].astype(np.int64)}


def _changed(**changes):
    return lambda arrays: {name: value for name, value in (_reference(arrays) | changes).items() if value is not None}


def test_the_largest_difference_over_all_outputs_and_samples_counts():
    off = {"y": np.array([6.25], np.float32), "z": np.array([3])}
    found = check(_reference, lambda arrays: off if arrays["x"] == 3 else _reference(arrays), SAMPLES, tolerance=0.5)
    assert (found.max_abs_diff, found.tolerance, found.ok) == (0.25, 0.5, True)


def test_a_difference_beyond_the_tolerance_is_not_ok():
    assert not check(_reference, _changed(z=np.array([100])), SAMPLES, tolerance=1e-4).ok


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": None}, r"missing \['y'\], extra none"),
        ({"w": np.zeros(1)}, r"missing none, extra \['w'\]"),
        ({"y": np.array([np.nan], np.float32)}, "'y' of the file has 1 values that are not finite"),
        ({"y": np.array([np.inf], np.float32)}, "not finite"),
        ({"y": np.zeros((1, 1), np.float32)}, r"has shape \[1, 1\] in the file and \[1\] in the module"),
    ],
)
def test_outputs_that_cannot_be_compared_fail_with_a_reason(changes, message):
    with pytest.raises(ParityError, match=message):
        check(_reference, _changed(**changes), SAMPLES, tolerance=1e-4)


def test_a_module_that_is_not_finite_is_no_reference():
    with pytest.raises(ParityError, match="of the module is not finite"):
        check(lambda _: {"y": np.array([np.nan])}, lambda _: {"y": np.array([1.0])}, SAMPLES, tolerance=1e-4)


def test_no_samples_prove_nothing():
    with pytest.raises(ParityError, match="at least one sample"):
        check(_reference, _reference, [], tolerance=1e-4)
