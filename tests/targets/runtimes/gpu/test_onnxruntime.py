"""What its two providers share, with the provider that is here: ONNX Runtime's own for the CPU."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import onnxruntime
import pytest

from targets.runtimes.gpu._onnxruntime import CPU, OnnxRuntimeOnGpu, _strict


@final
@dataclass(frozen=True)
class OnCpu(OnnxRuntimeOnGpu):
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    provider: ClassVar[str] = CPU

    def options(self, file):
        return {}


@pytest.fixture
def load(onnx_file):
    return lambda batch=1: OnCpu("fp32", "cpu").load([onnx_file(batch)], threads=1)


def test_named_arrays_in_named_arrays_out_and_staged_calls_are_timed(load, inputs):
    predict = load()
    np.testing.assert_allclose(predict(inputs)["y"], [[11, 12, 13]], rtol=1e-6)  # float32 sums of four products
    once = predict.stage(inputs)
    assert min(once() for _ in range(5)) > 0
    assert (predict.batch, load("n").batch, predict.peak_bytes()) == (1, None, None)


def test_the_bound_inputs_are_what_is_computed(load, inputs):
    """A staged call is a real one: a larger batch takes longer by far than a small one."""
    many = {**inputs, "x": np.repeat(inputs["x"], 200_000, axis=0)}
    predict = load("n")
    small, large = (predict.stage(each) for each in (inputs, many))
    assert min(large() for _ in range(5)) > 3 * min(small() for _ in range(5))


@pytest.mark.parametrize("how", ["__call__", "stage"])
def test_wrong_inputs_are_named(load, inputs, how):
    with pytest.raises(ValueError, match=r"tiny.onnx: input 'x': expected float32 \(1, 4\), found float32 \(1, 5\)"):
        getattr(load(), how)({**inputs, "x": np.zeros((1, 5), np.float32)})


def test_a_provider_that_gives_way_to_the_cpu_is_an_error(onnx_file):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("here it does not give way")
    with pytest.raises(RuntimeError, match=f"CUDAExecutionProvider could not begin, ONNX Runtime took {CPU} instead"):
        _strict(onnx_file(), onnxruntime.SessionOptions(), "CUDAExecutionProvider", {})
