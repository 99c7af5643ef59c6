import json
import os
import sys
import time
from pathlib import Path

import pytest

from targets._result import RunFailed
from targets.transport import local
from targets.transport.local import Local


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """Another program in the runner's place."""

    def install(text):
        package = tmp_path / "checkout" / "targets" / "device"
        package.mkdir(parents=True, exist_ok=True)
        (package / "runner.py").write_text(
            f"import json, os, pathlib, sys, time\njob, result = map(pathlib.Path, sys.argv[1:])\n{text}"
        )
        monkeypatch.setattr(local, "ROOT", tmp_path / "checkout")

    return install


def run(tmp_path, timeout=60.0, heard=lambda line: None):
    result = tmp_path / "result"
    result.mkdir()
    Local().run(tmp_path / "job", result, threads=2, timeout=timeout, heard=heard)
    return json.loads((result / "result.json").read_text())


def alive(pid):
    """Whether a process still runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_result_comes_back_and_each_line_is_heard(tmp_path, runner):
    runner('print("progress 1 2"); print("progress 2 2"); (result / "result.json").write_text(json.dumps({"job": job.name}))')
    lines = []
    assert run(tmp_path, heard=lines.append) == {"job": "job"}
    assert lines == ["progress 1 2", "progress 2 2"]


def test_the_environment_is_clean_and_states_its_threads(tmp_path, runner, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("ORT_SURPRISE", "1")
    runner('(result / "result.json").write_text(json.dumps(dict(os.environ)))')
    found = run(tmp_path)
    assert {found[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"2"}
    assert "ORT_SURPRISE" not in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('print("first", file=sys.stderr); sys.exit("not verified")', "the runner ended with exit code 1: not verified"),
        ('print("refused", file=sys.stderr); sys.exit(2)', "refused"),
        ("sys.exit(1)", "the runner ended with exit code 1: it said nothing"),
        ("os.kill(os.getpid(), 11)", "the runner ended with exit code -11: it said nothing"),
    ],
)
def test_a_run_without_a_result_says_why(tmp_path, runner, text, words):
    runner(text)
    with pytest.raises(RunFailed) as error:
        run(tmp_path)
    assert str(error.value) == words


def test_a_run_that_takes_too_long_is_ended(tmp_path, runner):
    runner("time.sleep(600)")
    with pytest.raises(RunFailed, match=r"longer than 0\.5 s"):
        run(tmp_path, timeout=0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_interruption_ends_the_runner_and_its_children(tmp_path, runner):
    runner("child = os.fork()\nif child: print(os.getpid(), child, flush=True)\ntime.sleep(600)")
    pids = []

    def interrupt(line):
        pids.extend(map(int, line.split()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, heard=interrupt)
    assert len(pids) == 2
    assert os.getpid() not in pids
    end = time.monotonic() + 30
    while any(map(alive, pids)) and time.monotonic() < end:  # a killed orphan takes a moment to go
        time.sleep(0.01)
    assert not any(map(alive, pids))
