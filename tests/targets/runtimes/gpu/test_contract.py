"""What holds for every file of targets/runtimes/gpu, whichever they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.registry import ROOT
from pipeline.registry import names as registered
from targets.gpu import Gpu
from targets.runtimes import _base
from targets.runtimes.gpu._base import NVIDIA, has_library, names

HELD = pytest.mark.parametrize("name", names())


def test_the_issue_s_runtimes_are_there():
    torch = {
        f"torch_{mode}_{precision}" for mode in ("eager", "compile", "aoti") for precision in ("fp32", "fp16", "bf16", "int8")
    }
    assert torch | {"onnxruntime_cuda_fp32", "onnxruntime_tensorrt_fp16", "openvino_gpu_fp32"} <= names().keys()


@HELD
def test_a_device_finds_it_by_its_name(name):
    assert _base.find(name) == names()[name]
    assert _base.find(name).format in registered("format")


@pytest.mark.parametrize("name", ["torch_eager", "torch_eager_fp8", "gpu", "gpu_fp32", "_torch_fp32", "torch_fp32", "_base_fp32"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=f"no runtime is named {name!r} here"):
        _base.find(name)


@HELD
def test_it_says_what_is_missing(name, monkeypatch):
    runtime = names()[name]
    library, what = runtime.driver
    if not has_library(library):
        assert runtime.missing() == f"{what} is not installed"
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    assert f"pip install {next(iter(runtime.packages))}" in runtime.missing()


@pytest.mark.parametrize("modules", dict.fromkeys(runtime.modules() for runtime in names().values()), ids=lambda each: each[-1])
def test_what_is_imported_begins_neither_cuda_nor_a_thread(modules):
    """The runner imports it before it forks."""
    program = f"import importlib\nfor name in {modules}: importlib.import_module(name)\n"
    program += "import threading, torch; print(torch.cuda.is_initialized(), threading.active_count())"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **Gpu()._variables("/tmp")},
    )
    begun, threads = done.stdout.split()
    assert begun == "False"
    assert threads == "1" or "openvino" in modules, "OpenVINO has one of its own, with which it forks on every target"


def test_the_files_import_nothing_heavy():
    """Only the standard library, numpy and this package: what is missing is asked for where the packages may not exist."""
    program = "import sys\nfor heavy in ('torch', 'onnxruntime', 'openvino'): sys.modules[heavy] = None\n"
    program += "from targets.runtimes.gpu._base import names; print(*names())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(names())


@pytest.mark.parametrize("name", [name for name, runtime in names().items() if runtime.driver == NVIDIA])
def test_a_damaged_file_is_a_value_error_that_names_it(name, tmp_path):
    runtime = type(names()[name])(names()[name].precision, "cpu")
    files = [tmp_path / each for each in ("model.json", "weights.safetensors")]
    for path in files:
        path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"model\.json") as error:
        runtime.load(files, threads=1)
    assert "\n" not in str(error.value)


def test_tests_mirror_the_folder():
    here = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert {type(runtime).__module__.rpartition(".")[2] for runtime in names().values()} <= here
