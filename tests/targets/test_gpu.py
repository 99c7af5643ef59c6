"""A machine without a GPU says so; and the whole way of one that has it, walked on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.registry import ROOT
from pipeline.store import Store
from targets.gpu import ELSEWHERE, Gpu
from targets.runtimes.gpu._base import names

REASON = "no GPU is here: neither NVIDIA's driver (libcuda.so.1) nor OpenCL (libOpenCL.so.1) for Intel's is installed"
without = pytest.mark.skipif(Gpu().usable() is None, reason="there is one here")


@without
def test_without_one_every_cell_says_so_and_nothing_is_trained(checkout, tiny_recipe):
    done = checkout("run", tiny_recipe, "--target", "gpu")
    assert done.returncode == 0, done.stderr
    assert f"nothing can be run on target gpu: {REASON}" in " ".join(done.stdout.split())
    report = json.loads((checkout.home / "runs" / "latest" / "report.json").read_text())
    assert {(each["status"], each["reason"], each["target"]) for each in report["records"]} == {("unsupported", REASON, "gpu")}
    found = {(each["variant"], each["runtime"]) for each in report["records"]}
    onnx = {(variant, name) for variant in ("reference", "pruned", "int8") for name in names() if name.startswith("onnxruntime_")}
    assert found == onnx | {("reference", name) for name in names() if name.startswith("torch_")}
    assert list(Store(checkout.home / "store").entries()) == []
    covered = json.loads(checkout("coverage", "--json").stdout)["rows"]
    assert {(row["target"], row["formats"]["onnx"]["status"], row["formats"]["onnx"]["reason"]) for row in covered} == {
        ("gpu", "unsupported", REASON)
    }
    shown = " ".join(checkout("coverage").stdout.split())
    assert "float32 on gpu - unsupported [1]" in shown
    assert f"1 {REASON}" in shown


@without
def test_without_one_the_doctor_and_the_plan_say_so_too(cli, tiny_recipe):
    assert json.loads(cli("doctor", "--json").stdout)["targets"]["gpu"] == REASON
    planned = cli("run", tiny_recipe, "--target", "gpu", "--dry-run")
    assert planned.returncode == 0
    assert "0 steps to run" in planned.stdout
    assert f"measure in torch_compile_bf16: {REASON}" in " ".join(planned.stdout.split())


def test_a_device_that_is_no_number_is_refused_before_any_work(refused, tiny_recipe):
    assert refused("run", tiny_recipe, "--target", "gpu", "--device", "cuda") == (
        "--device cuda: a GPU is chosen by its number, 0, 1, ... (`nvidia-smi -L` lists them)"
    )


@pytest.mark.parametrize(
    ("visible", "device", "chosen"),
    [(None, "", "0"), (None, "3", "3"), ("5,7", "", "5"), ("5,7", "1", "7"), ("GPU-a1", "0", "GPU-a1")],
)
def test_one_gpu_is_shown_to_the_runner_counted_as_the_caller_sees_them(monkeypatch, visible, device, chosen):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    variables = Gpu(device)._variables("/folder")
    assert variables["CUDA_VISIBLE_DEVICES"] == chosen
    assert (variables["NVIDIA_TF32_OVERRIDE"], variables["TORCHINDUCTOR_CACHE_DIR"]) == ("0", "/folder")


def test_a_number_beyond_what_is_visible_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    with pytest.raises(UserError, match="--device 2: CUDA_VISIBLE_DEVICES=5,7 shows 2, counted from 0"):
        Gpu("2")._variables("/folder")


def test_a_number_is_of_nvidia_s_and_must_be_there():
    refusals = {name: None if name.startswith(("torch", "openvino")) else "no provider" for name in names()}
    assert Gpu("")._chosen(refusals) == refusals
    assert Gpu("1")._chosen(refusals)["torch_eager_fp32"] is None
    assert Gpu("1")._chosen(refusals)["openvino_gpu_fp32"] == "--device 1 is the number of an NVIDIA GPU"
    nobody = {name: None if name.startswith("openvino") else "torch sees no GPU" for name in names()}
    with pytest.raises(UserError, match="--device 1: torch sees no GPU"):
        Gpu("1")._chosen(nobody)


def test_the_libraries_are_asked_in_a_process_of_their_own():
    """With a driver that is there (the C library instead of it): what they then say themselves."""
    program = (
        "from targets.runtimes.gpu import _base\n"
        "_base.has_library = lambda name: True\n"
        "from targets.runtimes.gpu._ask import ask; import json; print(json.dumps(vars(ask())))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["refusals"].keys() == names().keys()
    import torch

    if torch.version.cuda is None:
        assert answer["words"] == []
        assert {answer["refusals"][name] for name in names() if name.startswith("torch_")} == {
            f"torch {torch.__version__} is built without CUDA; `pip install torch` of a CUDA build would make it usable"
        }


RECIPE = """
data = "digits"
preset = "quick"
formats = ["onnx", "torch", "tflite"]
models = [{ model = "mlp", hidden = [16], train = { epochs = 2 } }]

[[variants]]
name = "pruned"
steps = [{ technique = "prune_structured", macs = 0.7, rounds = 1, epochs = 1 }]
"""
TRIED = ["torch_eager_fp32", "torch_eager_int8", "torch_compile_bf16"]
PRETENDED = {
    "targets/runtimes/gpu/_base.py": [('device: str = "cuda"', 'device: str = "cpu"'), ("ctypes.CDLL(name)", "pass")],
    "targets/runtimes/gpu/_ask.py": [
        (
            "        return runtime.refusal()\n",
            f"        return None if runtime in [find(name) for name in {TRIED}] else 'not tried'\n",
        ),
        ("from targets.runtimes._base import one_line", "from targets.runtimes._base import find, one_line"),
        ("    import torch\n", "    return ['a GPU that is a CPU', 'timed somehow']\n    import torch\n"),
    ],
    "targets/gpu.py": [("range(13)", "range(3)")],
    "targets/device/job.py": [("steady_calls: int = 400", "steady_calls: int = 20"), ("rounds: int = 40", "rounds: int = 5")],
}


def test_the_whole_way_on_a_gpu_that_is_the_cpu(own_checkout, tmp_path: Path):
    for name, changes in PRETENDED.items():
        path = own_checkout.root / name
        for old, new in changes:
            assert path.read_text().count(old) == 1, old
            path.write_text(path.read_text().replace(old, new))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    done = own_checkout("run", tmp_path / "recipe.toml", "--target", "gpu", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["run"]["conditions"][:2] == ["a GPU that is a CPU", "timed somehow"]
    found = {(each["variant"], each["runtime"]): each for each in report["records"]}
    assert {found[each]["reason"] for each in found if each[1].startswith("onnxruntime")} == {"not tried"}
    assert {found[each]["reason"] for each in found if each[1] == "litert"} == {ELSEWHERE["litert"]}
    assert {found[each]["reason"] for each in found if each[1].startswith("torch_aoti")} == {"not tried"}
    for variant, runtime in product(("reference", "pruned"), TRIED):
        record = found[variant, runtime]
        assert (record["status"], record["provenance"], record["quality"]["n"]) == ("ok", "measured", 360)
        assert record["latency_ms"]["p50"] > 0
        points = record["throughput"]["points"]
        assert [point["batch"] for point in points] == [1, 2, 4]
        assert all(point["per_second"] == pytest.approx(1e3 * point["batch"] / point["p50"]) for point in points)
        assert record["throughput"]["ended"] == "the largest that was asked for"
        assert (record["versus_baseline"] is None) == (variant == "reference")
    values = [found["reference", runtime]["quality"]["value"] for runtime in TRIED]
    assert max(values) - min(values) < 0.03, "each precision was judged, and none lost what is learnt"
    page = (own_checkout.home / "runs" / "latest" / "index.html").read_text()
    assert "Throughput against batch size" in page
