import onnxruntime
import pytest

from targets.runtimes.gpu._base import names
from targets.runtimes.gpu.onnxruntime_cuda import OnnxRuntimeCuda

absent = pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="it is here")


@absent
def test_where_it_is_not_the_reason_says_what_to_install():
    for runtime in (each for each in names().values() if isinstance(each, OnnxRuntimeCuda)):
        assert runtime.refusal() == (
            f"onnxruntime {onnxruntime.__version__} has no CUDAExecutionProvider; "
            "`pip install onnxruntime-gpu` in its place would bring it"
        )


@absent
def test_a_session_of_the_cpu_is_never_taken_for_it(onnx_file):
    with pytest.raises(
        ValueError, match=r"tiny\.onnx: CUDAExecutionProvider could not begin, ONNX Runtime took CPUExecutionProvider"
    ):
        OnnxRuntimeCuda("fp32", "cpu").load([onnx_file()], threads=1)


def test_float32_is_no_tf32(onnx_file):
    assert OnnxRuntimeCuda("fp32").options(onnx_file()) == {"use_tf32": "0"}
