import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.files import file_sha256
from targets.runtimes._base import Unsupported
from targets.runtimes.gpu.torch_eager import TorchEager
from tests.targets.runtimes.gpu.conftest import DEVICES, TOLERANCES


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", TOLERANCES)
def test_it_says_what_float32_says(holds, precision, device):
    holds(TorchEager, precision, device)


@pytest.fixture
def predict(stored):
    return TorchEager("fp32", "cpu").load(stored()[1], threads=1)


def test_a_staged_call_is_timed_again_and_again(predict, batch):
    once = predict.stage(batch(2))
    assert min(once() for _ in range(5)) > 0
    assert predict.peak_bytes() is None  # the CPU has no memory of its own


def test_arrays_that_are_read_only_are_taken(predict, batch):
    inputs = batch(2)
    inputs["image"].flags.writeable = False
    assert predict(inputs)["logits"].shape == (2, 5)


@pytest.mark.parametrize("how", ["__call__", "stage"])
def test_wrong_inputs_are_named(predict, batch, how):
    wrong = {**batch(1), "image": np.zeros((1, 1, 8, 8))}
    with pytest.raises(ValueError, match=r"model.json: input 'image': expected float32 \(any, 1, 8, 8\), found float64"):
        getattr(predict, how)(wrong)


def test_int8_without_a_linear_layer_is_unsupported_and_says_why(stored):
    _, files = stored(linear=False)
    with pytest.raises(Unsupported, match=r"model\.json: int8 is for linear layers here, and the model has none"):
        TorchEager("int8", "cpu").load(files, threads=1)
    assert TorchEager("bf16", "cpu").load(files, threads=1).batch is None


def test_what_a_model_cannot_do_in_a_precision_is_unsupported_in_it_and_an_error_in_float32(stored):
    _, files = stored()
    family = Path(json.loads(files[0].read_text())["family"]["name"])
    source = family.read_text().replace(
        "seen = torch", 'assert image.dtype == torch.float32, "it counts on float32"\n        seen = torch'
    )
    family.write_text(source)
    body = {**json.loads(files[0].read_text()), "family_sha256": file_sha256(family)}
    files[0].write_text(json.dumps(body))
    with pytest.raises(Unsupported, match="does not run in bf16: AssertionError: it counts on float32"):
        TorchEager("bf16", "cpu").load(files, threads=1)
    family.write_text(source.replace("float32,", "float64,"))
    files[0].write_text(json.dumps({**body, "family_sha256": file_sha256(family)}))
    with pytest.raises(ValueError, match="does not run in fp32") as error:
        TorchEager("fp32", "cpu").load(files, threads=1)
    assert not isinstance(error.value, Unsupported)


def test_float32_is_no_tf32(stored, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch.set_float32_matmul_precision("high")
    TorchEager("fp32", "cpu").load(stored()[1], threads=1)
    assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == (False, "highest")
