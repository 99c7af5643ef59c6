import re

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from pipeline.export._tflite_file import ALIGNMENT
from tests.pipeline.export.conftest import same_provenance


def _read(made):
    return schema.ModelT.InitFromPackedBuf(bytearray(made.bytes), 0)


def test_the_signature_and_the_tensors_have_the_declared_names(export):
    for int8 in (False, True):
        interpreter = Interpreter(str(export("tflite", "cnn", int8=int8).files[0]))
        assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["logits"]}}
        (entry,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert (entry["name"], entry["dtype"], out["name"], out["dtype"]) == ("image", np.float32, "logits", np.float32)


def test_the_provenance_is_in_the_metadata_table(export):
    for int8 in (False, True):
        model = _read(export("tflite", "cnn", int8=int8))
        found = {entry.name.decode(): bytes(model.buffers[entry.buffer].data) for entry in model.metadata}
        assert set(found) == {"min_runtime_version", "edgepress"}
        assert same_provenance(found["edgepress"].decode())


def test_tensors_carry_no_module_paths(export):
    assert re.search(rb"torch\.nn|MLIR Module|Sequential", export("tflite", "cnn").bytes) is None


def test_the_data_of_every_buffer_is_aligned_as_the_schema_demands(export):
    for int8 in (False, True):
        content = export("tflite", "cnn", int8=int8).bytes
        model = schema.Model.GetRootAs(bytearray(content), 0)
        buffers = [model.Buffers(index) for index in range(model.BuffersLength())]
        starts = [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if buffer.DataLength()]
        assert starts and [start % ALIGNMENT for start in starts] == [0] * len(starts)


def test_int8_reaches_every_operator_of_a_recurrent_network(export):
    model = _read(export("tflite", "gru", int8=True))
    (graph,) = model.subgraphs
    codes = [model.operatorCodes[operator.opcodeIndex].builtinCode for operator in graph.operators]
    kinds = {
        graph.tensors[operator.outputs[0]].type
        for operator, code in zip(graph.operators, codes, strict=True)
        if code != schema.BuiltinOperator.DEQUANTIZE
    }
    assert kinds == {schema.TensorType.INT8}
