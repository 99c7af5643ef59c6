import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from models.tasks.classification import Classification
from pipeline.registry import ROOT
from targets.device import job as jobs
from targets.device.judge import describe
from targets.device.runner import main, peak_bytes

SMALL = jobs.Sampling(warmup=2, rounds=5, calls=3, steady_calls=9, steady_seconds=60, energy_seconds=0)


@pytest.fixture
def folder(tmp_path, onnx_file, inputs):
    """A job's folder: two candidates of one tiny file."""
    place = tmp_path / "job"
    place.mkdir()
    shutil.copy(onnx_file(), place)
    np.savez(place / "inputs.npz", **inputs)
    files = {name: jobs.file_sha256(place / name) for name in ("tiny.onnx", "inputs.npz")}
    entry = jobs.Entry(("tiny.onnx",), "inputs.npz")
    jobs.Job("onnxruntime", 1, 3, files, {"a": entry, "b": entry}, (("a", "b"),), SMALL).write(place)
    return place


def change(folder, **changes):
    path = folder / jobs.JOB
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def run(folder, result):
    command = [sys.executable, "-m", "targets.device.runner", str(folder), str(result)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_job_runs_to_a_result_with_all_raw_samples(folder, tmp_path):
    done = run(folder, tmp_path / "result")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "result").iterdir()} == {"result.json", "outputs-0.npz", "outputs-1.npz"}
    result = json.loads((tmp_path / "result" / "result.json").read_text())
    for candidate in result["candidates"].values():
        assert min(candidate["load_ns"], candidate["first_ns"]) > 0
        assert candidate["peak_bytes"] >= result["environment"]["baseline_bytes"] > 10_000_000  # Python and ONNX Runtime
        assert len(candidate["steady_ns"]) == 9
    (one,) = result["sets"]
    assert [set(each) for each in one["rounds"]] == [{"a", "b"}] * 5
    assert (result["environment"]["threads"], result["environment"]["seed"]) == (1, 3)
    assert done.stdout.splitlines() == ["progress 1 4", "progress 2 4", "progress 4 4"]


def test_the_runner_needs_nothing_but_targets(folder, tmp_path):
    shutil.copytree(ROOT / "targets", tmp_path / "device" / "targets")
    command = [sys.executable, "-m", "targets.device.runner", str(folder), str(tmp_path / "result")]
    done = subprocess.run(command, cwd=tmp_path / "device", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_that_does_not_match_its_sha256_is_refused(folder, tmp_path, capsys):
    with (folder / "tiny.onnx").open("ab") as file:
        file.write(b"x")
    assert main([str(folder), str(tmp_path / "result")]) == 2
    assert capsys.readouterr().err == "tiny.onnx does not match its sha256\n"
    assert not (tmp_path / "result").exists()


@pytest.mark.parametrize("name", ["../tiny.onnx", "/etc/hostname"])
def test_a_name_that_leads_out_is_refused(folder, tmp_path, capsys, name):
    body = json.loads((folder / jobs.JOB).read_text())
    change(folder, files={**body["files"], name: "0" * 64})
    assert main([str(folder), str(tmp_path / "result")]) == 2
    assert capsys.readouterr().err == f"file name {name!r} leads out of the job's folder\n"


@pytest.mark.parametrize("runtime", ["nothing", "_base", "os.path", "../x"])
def test_an_unknown_runtime_is_refused(folder, tmp_path, capsys, runtime):
    change(folder, runtime=runtime)
    assert main([str(folder), str(tmp_path / "result")]) == 2
    assert capsys.readouterr().err == f"no runtime is named {runtime!r} here\n"


def test_energy_is_of_blocks_of_its_own_where_there_is_a_meter(folder, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "vcgencmd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'VDD_CORE_A current(7)=2.0A VDD_CORE_V volt(15)=1.5V'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    job = jobs.read(folder)
    protocol = replace(job.protocol, energy_seconds=2.5, sustained_seconds=2.5)
    replace(job, candidates={"a": job.candidates["a"]}, sets=(("a",),), protocol=protocol).write(folder)
    assert run(folder, tmp_path / "result").returncode == 0
    found = json.loads((tmp_path / "result" / "result.json").read_text())["candidates"]["a"]
    assert len(found["steady_ns"]) == 9  # no call of the meter's block is among those that are timed
    for block in ("energy", "sustained_energy"):
        assert found[block]["calls"] > 100
        if found[block]["meter"].startswith("PMIC"):  # not where the counters of this very machine can be read
            assert 3.0 * 2.5 <= found[block]["joules"] < 3.0 * 5


def test_a_broken_candidate_does_not_sink_the_others(folder, tmp_path):
    (folder / "broken.onnx").write_bytes(b"this is no model")
    job = jobs.read(folder)
    np.savez(folder / "wrong.npz", x=np.zeros((1, 4)), step=np.array([5]))
    files = {**job.files, **{name: jobs.file_sha256(folder / name) for name in ("broken.onnx", "wrong.npz")}}
    broken, wrong = replace(job.candidates["a"], files=("broken.onnx",)), replace(job.candidates["a"], inputs="wrong.npz")
    everything = {"broken": broken, "wrong": wrong, **job.candidates}
    replace(job, files=files, candidates=everything, sets=(("a", "broken", "wrong", "b"),)).write(folder)
    done = run(folder, tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert "broken.onnx" in result["candidates"]["broken"]["error"]
    assert result["candidates"]["wrong"]["error"].endswith(".onnx: input 'x': expected float32 (1, 4), found float64 (1, 4)")
    assert [set(each) for each in result["sets"][0]["rounds"]] == [{"a", "b"}] * 5


@pytest.fixture
def judged(folder, classifier, tmp_path):
    """The same job, and a judge that works on a classifier of batch 1."""
    shutil.copy(classifier, folder)
    np.savez(folder / "samples.npz", x=np.eye(4, 3, dtype=np.float32), label=np.array([0, 1, 2, 2]))
    job = jobs.read(folder)
    files = {**job.files, **{name: jobs.file_sha256(folder / name) for name in (classifier.name, "samples.npz")}}
    judging = jobs.Judging({"classifier": (classifier.name,)}, describe(Classification("classifier")), "samples.npz")
    return replace(
        job, files=files, judgings={"a": judging, "b": replace(judging, task={**judging.task, "fields": {"graph": "?"}})}
    )


def test_a_candidate_is_judged_by_the_hosts_own_judge(judged, folder, tmp_path):
    judged.write(folder)
    done = run(folder, tmp_path / "result")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result" / "result.json").read_text())
    assert result["judged"] == {"a": {"evidence": "evidence-0.npz"}, "b": {"error": "KeyError: '?'"}}
    with np.load(tmp_path / "result" / "evidence-0.npz") as evidence:
        assert evidence["correct"].tolist() == [True, True, True, False]  # the last row is zeros, so class 0
    assert result["files"]["evidence-0.npz"][1] == jobs.file_sha256(tmp_path / "result" / "evidence-0.npz")


@pytest.mark.parametrize(
    ("work", "reply"),
    [
        ("lambda: {'found': 1}", {"found": 1}),
        ("lambda: int('x')", {"error": "invalid literal for int() with base 10: 'x'"}),
        ("lambda: os.kill(os.getpid(), 11)", {"error": "the runtime's process was ended by SIGSEGV"}),
        ("lambda: os._exit(3)", {"error": "the runtime's process ended with exit code 3"}),
        (
            "lambda: (signal.alarm(1), time.sleep(60))",
            {"error": "the runtime's process was ended by SIGALRM (no answer within 300 s)"},
        ),
    ],
)
def test_a_child_says_what_it_found_or_how_it_ended(work, reply):
    # In a process of its own, since a test process that holds other libraries' threads should not fork.
    program = f"import json, os, signal, time\nfrom targets.device.runner import in_child\nprint(json.dumps(in_child({work})))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == reply


def test_peak_memory_is_in_bytes():
    kept = np.ones(50_000_000 // 8)
    assert 50_000_000 < peak_bytes() < 64 * 2**30
    assert kept.size
