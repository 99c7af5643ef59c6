"""What holds for every file of targets/runtimes, whichever they are."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.registry import FOLDERS, find, names, source_file
from targets.runtimes import _base

RUNTIMES = names("runtime")
HELD = pytest.mark.parametrize("name", RUNTIMES)


@HELD
def test_it_says_its_format_and_package(name):
    runtime = find("runtime", name)()
    assert isinstance(runtime.format, str)
    assert runtime.packages
    assert runtime.modules()
    assert isinstance(_base.find(name), type(runtime))  # as the device finds it


@HELD
def test_it_says_its_version_or_what_would_make_it_usable(name, monkeypatch, tmp_path):
    runtime = find("runtime", name)()
    if runtime.missing() is None:
        assert runtime.version()[0].isdigit()
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    tool = "apt-get" if name == "standalone" else "pip"  # which needs a compiler, and no package of Python's
    assert f"{tool} install {next(iter(runtime.packages))}" in runtime.missing()


@HELD
def test_its_file_imports_nothing_heavy(name, monkeypatch):
    """Only the standard library, numpy and this folder: the reason is asked for where the package may not exist."""
    module = f"{FOLDERS['runtime']}.{source_file('runtime', name).stem}"
    heavy = {find("runtime", each)().modules()[0] for each in RUNTIMES}
    monkeypatch.delitem(sys.modules, module, raising=False)
    for each in heavy:
        monkeypatch.setitem(sys.modules, each, None)  # importing it raises ImportError
    importlib.import_module(module)


@HELD
def test_a_damaged_file_is_a_value_error_that_names_it(name, tmp_path):
    runtime = find("runtime", name)()
    if reason := runtime.missing():
        pytest.skip(reason)
    files = [tmp_path / each for each in {"torch": ["model.json", "weights.safetensors"]}.get(name, ["net.xml", "net.bin"])]
    for path in files:
        path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=files[0].name) as error:
        runtime.load(files, threads=1)
    assert "\n" not in str(error.value)


def test_the_device_finds_no_helpers_and_no_paths():
    for name in ("_base", "os", "a.b", ""):
        with pytest.raises(ValueError, match="no runtime is named"):
            _base.find(name)


def test_shapes_with_open_sizes():
    spec = _base.Input((None, 3), "float32")
    assert spec.accepts(np.zeros((7, 3), np.float32))
    assert not spec.accepts(np.zeros((7, 4), np.float32))
    assert not spec.accepts(np.zeros(3, np.float32))
    assert _base.fixed_batch({"x": spec}) is None
    assert _base.fixed_batch({"x": _base.Input((1, 3), "float32"), "t": _base.Input((), "int64")}) == 1


def test_tests_mirror_the_folder():
    """A runtime without a test of its own is no runtime."""
    here = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    assert {f"test_{name}" for name in RUNTIMES} <= here
