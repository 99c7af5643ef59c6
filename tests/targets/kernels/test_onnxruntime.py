"""edgepress.binary.Packed in ONNX Runtime: the packed network's own numbers, and a line for a file that is none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from targets.kernels.build import library
from targets.kernels.layer import Shape
from targets.kernels.network import Floats, Network, Sign, write

LARGE = Shape(40, 6, 6, 8, (3, 3), pad=(1, 1))
RANDOM = np.random.default_rng(0)
PACKED = write(
    [
        Sign((40, 6, 6), RANDOM.normal(size=40).astype(np.float32), RANDOM.random(40) > 0.5),
        Floats(LARGE, RANDOM.integers(0, 256, LARGE.taps).astype(np.uint8), *RANDOM.normal(size=(2, 8)).astype(np.float32)),
    ]
)


def session(file: bytes) -> onnxruntime.InferenceSession:
    node = helper.make_node("Packed", ["x"], ["y"], domain="edgepress.binary", file=file)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy")
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("edgepress.binary", 1)]
    model = helper.make_model(helper.make_graph([node], "packed", [x], [y]), opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised
    options.register_custom_ops_library(str(library()))
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def test_it_computes_what_the_library_does_for_several_threads_at_once() -> None:
    runs, alone = session(PACKED), Network(PACKED)
    inputs = [RANDOM.normal(size=(samples, 40, 6, 6)).astype(np.float32) for samples in (1, 3, 2, 5) * 10]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: runs.run(None, {"x": x})[0], inputs))
    for x, y in zip(inputs, found, strict=True):
        np.testing.assert_array_equal(y, alone(x))


@pytest.mark.parametrize(("file", "said"), [(PACKED[:-1], "its checksum is another"), (b"no", "does not begin as one")])
def test_a_file_that_is_none_is_refused_when_the_model_is_loaded(file: bytes, said: str) -> None:
    with pytest.raises(Exception, match=said):
        session(file)


def test_inputs_of_another_shape_are_refused() -> None:
    runs = session(PACKED)
    for shape in ((1, 40, 6, 5), (40, 6, 6), (1, 39, 6, 6)):
        with pytest.raises(Exception, match="a packed network was given an input of another shape"):
            runs.run(None, {"x": np.zeros(shape, np.float32)})
