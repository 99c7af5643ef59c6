import onnx
import onnxruntime
import pytest
from onnx import helper

from targets.runtimes.gpu._base import names
from targets.runtimes.gpu.onnxruntime_tensorrt import OnnxRuntimeTensorRt

absent = pytest.mark.skipif("TensorrtExecutionProvider" in onnxruntime.get_available_providers(), reason="it is here")


@absent
def test_where_it_is_not_the_reason_says_what_to_install():
    for runtime in (each for each in names().values() if isinstance(each, OnnxRuntimeTensorRt)):
        assert runtime.refusal() == (
            f"onnxruntime {onnxruntime.__version__} has no TensorrtExecutionProvider; "
            "`pip install onnxruntime-gpu` in its place would bring it"
        )


@absent
def test_a_session_of_the_cpu_is_never_taken_for_it(onnx_file):
    with pytest.raises(
        ValueError, match=r"tiny\.onnx: TensorrtExecutionProvider could not begin, ONNX Runtime took CPUExecutionProvider"
    ):
        OnnxRuntimeTensorRt("fp32", "cpu").load([onnx_file()], threads=1)


def test_int8_is_what_the_file_says_and_fp16_what_the_name_says(onnx_file):
    def told(precision, path):
        return tuple(OnnxRuntimeTensorRt(precision).options(path).values())

    node = helper.make_node("DequantizeLinear", ["q", "s"], ["x"])
    quantized = onnx.load(onnx_file())
    quantized.graph.node.insert(0, node)
    path = onnx_file().with_name("int8.onnx")
    path.write_bytes(quantized.SerializeToString())
    assert [told("fp32", onnx_file()), told("fp16", onnx_file()), told("fp32", path)] == [
        ("False", "False"),
        ("True", "False"),
        ("False", "True"),
    ]
