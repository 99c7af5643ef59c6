import numpy as np
import pytest

from targets.runtimes._openvino import library
from targets.runtimes.gpu.openvino_gpu import OpenVinoGpu

openvino = library()


@pytest.fixture
def files(onnx_file):
    path = onnx_file().with_suffix(".xml")
    openvino.save_model(openvino.Core().read_model(path.with_suffix(".onnx")), path, compress_to_fp16=False)
    return [path, path.with_suffix(".bin")]


def test_it_computes_on_the_device_that_it_is_told(files, inputs):
    predict = OpenVinoGpu("fp32", "CPU").load(files, threads=1)
    np.testing.assert_allclose(predict(inputs)["y"], [[11, 12, 13]], rtol=1e-6)  # float32 sums of four products
    with pytest.raises(ValueError, match=r"^tiny\.xml: "):  # never another than was asked for
        OpenVinoGpu("fp32", "GPU.9").load(files, threads=1)


def test_it_says_when_there_is_no_gpu():
    here = any(name.startswith("GPU") for name in openvino.Core().available_devices)
    reason = OpenVinoGpu("fp16").refusal()
    assert (reason is None) == here
    assert here or f"openvino {openvino.__version__} sees no GPU" in reason


def test_a_damaged_file_is_a_value_error_that_names_it(files):
    files[0].write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"^tiny\.xml: "):
        OpenVinoGpu("fp32", "CPU").load(files, threads=1)
