"""What every format promises, for every file of the folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core import Graph, Precision, TensorSpec, Unsupported
from pipeline.errors import UserError
from pipeline.export._parity import check
from pipeline.registry import find, names
from tests.pipeline.export.conftest import ARCHITECTURES, FORMATS, INPUTS, PREDICTORS, build, images, model_of

LEAKS = (b"/tmp", b"/root", b"/home", b'.py"', b"site-packages", b"self.", b"stack_trace")


@pytest.mark.parametrize("name", names("format"))
def test_a_format_states_its_suffixes_and_its_tolerance(name):
    exporter = find("format", name)
    assert exporter.suffixes and all(suffix.startswith(".") for suffix in exporter.suffixes)
    assert 0 < exporter.tolerance <= 1e-4
    assert exporter() == exporter()


def test_every_format_of_the_folder_is_tested_here():
    assert set(names("format")) == {*FORMATS, "c", "torch"}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_float_file_computes_what_torch_computes(export, form, architecture):
    made = export(form, architecture)
    parity = check(made.reference, made.predict, images(8, seed=3), find("format", form).tolerance)
    assert parity.ok, parity


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_int8_file_takes_and_gives_floats_and_mostly_chooses_the_same_class(export, form, architecture):
    made = export(form, architecture, int8=True)
    logits = made.predict(images(1, seed=3)[0])["logits"]
    assert logits.dtype == np.float32 and logits.shape == (1, 10) and np.isfinite(logits).all()
    # Untrained logits lie close together: a trained network agrees on 99 % and more.
    assert made.agreement() >= 0.85


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_int8_file_is_smaller(export, form, architecture):
    # LiteRT unrolls a recurrent layer: every time step has a bias and scales of its own, which outweigh a small layer.
    ratio = 0.9 if (form, architecture) == ("tflite", "gru") else 0.65
    assert len(export(form, architecture, int8=True).bytes) < ratio * len(export(form, architecture).bytes)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("int8", [False, True])
def test_the_same_model_gives_the_same_bytes(export, form, int8):
    assert export(form, "cnn", int8=int8).bytes == export(form, "cnn", int8=int8, again=True).bytes


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("int8", [False, True])
def test_a_file_does_not_say_where_it_was_made(export, form, int8):
    content = export(form, "gru", int8=int8).bytes
    assert [leak for leak in LEAKS if leak in content] == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_is_named_by_appending_its_suffix(export, form):
    expected = [f"cnn.v1{suffix}" for suffix in find("format", form).suffixes]
    assert [file.name for file in export(form, "cnn").files] == expected
    assert sorted(file.name for file in export(form, "cnn").files[0].parent.iterdir()) == sorted(expected)


class TwoInTwoOut(nn.Module):
    """An embedding and a state, as a decoding step has them; returns a dictionary in another order than declared."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)

    def forward(self, token: torch.Tensor, state: torch.Tensor) -> dict[str, torch.Tensor]:
        after = state + self.embedding(token)
        return {"state_out": after, "scores": after.sum(-1, keepdim=True)}


@pytest.mark.parametrize("form", FORMATS)
def test_several_inputs_and_outputs_keep_their_names_and_order(form, tmp_path):
    inputs = {"token": TensorSpec((1,), "int64"), "state": TensorSpec((1, 3))}
    graph = Graph(TwoInTwoOut(), inputs, ("scores", "state_out"))
    files = find("format", form)().export(model_of(graph), graph, tmp_path / "step", [], {})
    token = np.array([2], np.int32 if form == "tflite" else np.int64)
    state = np.array([[1.0, 2.0, 3.0]], np.float32)
    found = PREDICTORS[form](files)({"token": token, "state": state})
    row = graph.module.embedding.weight[2].detach().numpy()
    np.testing.assert_allclose(found["state_out"], state + row, rtol=1e-6)
    np.testing.assert_allclose(found["scores"], (state + row).sum(-1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("form", [*FORMATS, "c"])
def test_a_module_that_refuses_its_declared_inputs_is_the_users_error(form, tmp_path):
    graph = Graph(build("cnn"), {"image": TensorSpec((1, 3, 8, 8))}, ("logits",))
    with pytest.raises(UserError, match=r"image: float32 \[1, 3, 8, 8\].*RuntimeError") as caught:
        find("format", form)().export(model_of(graph), graph, tmp_path / "x", [], {})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Branching(nn.Module):
    """Runs, but takes a decision that depends on values, which no fixed graph can hold."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image if image.sum() > 0 else -image


@pytest.mark.parametrize("form", [*FORMATS, "c"])
def test_a_module_that_cannot_be_traced_is_unsupported_in_one_line_without_chatter(form, tmp_path, capfd):
    graph = Graph(Branching(), INPUTS, ("logits",))
    with pytest.raises(Unsupported) as caught:
        find("format", form)().export(model_of(graph), graph, tmp_path / "x", [], {})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", FORMATS)
def test_int8_without_calibration_samples_is_refused(form, tmp_path):
    graph = Graph(build("mlp"), INPUTS, ("logits",))
    with pytest.raises(UserError, match="needs calibration samples"):
        find("format", form)().export(model_of(graph, Precision("static")), graph, tmp_path / "x", [], {})


def test_torch_writes_a_model_folder(tmp_path: Path):
    graph = Graph(build("mlp"), INPUTS, ("logits",))
    model = model_of(graph)
    user_file = tmp_path / "net.py"
    user_file.write_text("# a user's own model file\n")
    object.__setattr__(model, "family", type(model.family)("model", str(user_file)))
    files = find("format", "torch")().export(model, graph, tmp_path / "m", [], {})
    assert [file.name for file in files] == ["model.json", "weights.safetensors"]
    assert json.loads(files[0].read_text())["domain"]["inputs"]["image"]["shape"] == [1, 1, 8, 8]


def test_torch_has_no_int8(tmp_path):
    graph = Graph(build("mlp"), INPUTS, ("logits",))
    with pytest.raises(Unsupported, match="torch eager runs float32"):
        find("format", "torch")().export(model_of(graph, Precision("static")), graph, tmp_path / "m", [], {})
    assert list(tmp_path.iterdir()) == []
