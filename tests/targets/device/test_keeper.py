"""The keeper as a device runs it: in processes of its own, which the test cuts off, kills and joins again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.registry import ROOT
from targets.device import job as jobs


@pytest.fixture
def device(tmp_path):
    """A device's folder, with another program in the runner's place."""

    class Device:
        home = tmp_path / "home"
        code = tmp_path / "code"

        def start(self, *arguments):
            environment = {**os.environ, "EDGEPRESS_DEVICE_HOME": str(self.home), "PYTHONPATH": str(self.code)}
            command = [sys.executable, "-m", "targets.device.keeper", *arguments]
            return subprocess.Popen(
                command, cwd=self.code, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )

        def run(self, *arguments):
            process = self.start(*arguments)
            out, errors = process.communicate(timeout=60)
            return process.returncode, out, errors

        def job(self, name, program):
            """A job whose runner is `program`."""
            (self.home / "files").mkdir(parents=True, exist_ok=True)
            (self.home / "jobs" / name).mkdir(parents=True)
            (self.home / "files" / "0123").write_text(program)
            jobs.Job("none", 1, 0, {"x/program": "0123"}, {}, (), jobs.Sampling()).write(self.home / "jobs" / name)

    package = Device.code / "targets" / "device"
    package.mkdir(parents=True)
    for name in ("keeper.py", "job.py"):
        (package / name).write_text((ROOT / "targets" / "device" / name).read_text())
    (package / "runner.py").write_text(
        "import os, pathlib, sys, time\n"
        "job, result = map(pathlib.Path, sys.argv[1:])\n"
        "result.mkdir()\n"
        "exec((job / 'x' / 'program').read_text())\n"
    )
    return Device()


def wait_for(path: Path):
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.02)


def test_a_job_is_heard_to_its_end_and_its_exit_code_comes_back(device):
    device.job("a", "print('progress 1 1', flush=True); print('no', file=sys.stderr); sys.exit(2)")
    assert device.run("run", "a", "60", "me") == (2, "progress 1 1\n", "no\n")


def test_a_job_outlives_the_connection_and_is_joined_again(device):
    waiting = "while not (job / 'go').exists(): time.sleep(.02)"
    device.job("a", f"print('begun', flush=True)\n{waiting}\nprint('done'); (result / 'result.json').touch()")
    first = device.start("run", "a", "60", "me")
    assert first.stdout.readline() == "begun\n"
    first.kill()
    first.communicate()
    second = device.start("run", "a", "60", "me")
    assert second.stdout.readline() == "begun\n"
    (device.home / "jobs" / "a" / "go").touch()
    out, _ = second.communicate(timeout=60)
    assert (second.returncode, out) == (0, "done\n")
    assert device.run("run", "a", "60", "me") == (0, "begun\ndone\n", "")  # ended long ago: nothing runs twice


def test_two_jobs_do_not_measure_at_once(device):
    program = "(job / 'begun').touch()\nwhile not (job / 'go').exists(): time.sleep(.02)"
    device.job("a", program)
    device.job("b", program)
    first = device.start("run", "a", "60", "ann@laptop")
    wait_for(device.home / "jobs" / "a" / "begun")
    second = device.start("run", "b", "60", "bob")
    assert second.stdout.readline() == "waiting: ann@laptop measures on this device\n"
    assert not (device.home / "jobs" / "b" / "begun").exists()
    (device.home / "jobs" / "b" / "go").touch()
    (device.home / "jobs" / "a" / "go").touch()
    assert (first.wait(60), second.wait(60)) == (0, 0)
    first.communicate(), second.communicate()


def test_a_job_that_takes_too_long_is_given_up(device):
    device.job("a", "time.sleep(600)")
    assert device.run("run", "a", "0.5", "me") == (2, "", "given up after 0.5 s\n")


def test_a_runner_killed_by_the_device_is_told_and_begun_anew_when_asked_again(device):
    device.job(
        "a", "first = not (job / 'tried').exists(); (job / 'tried').touch()\nif first: os.kill(os.getpid(), 9)\nprint('well')"
    )
    assert device.run("run", "a", "60", "me")[0] == 256 - signal.SIGKILL
    assert device.run("run", "a", "60", "me") == (0, "well\n", "")


def test_a_dropped_job_ends_and_leaves_nothing(device):
    device.job("a", "print(os.getpid(), flush=True); time.sleep(600)")
    first = device.start("run", "a", "60", "me")
    pid = int(first.stdout.readline())
    assert device.run("drop", "a") == (0, "", "")
    assert not (device.home / "jobs" / "a").exists()
    end = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    first.communicate(timeout=60)
    assert device.run("forget", "0123") == (0, "", "")
    assert not list((device.home / "files").iterdir())


def test_a_file_that_is_needed_or_on_its_way_is_kept(device):
    device.job("a", "")
    device.run("run", "a", "60", "me")
    (device.home / "files" / "4567.part").touch()
    old = device.home / "files" / "89.part"
    old.touch()
    os.utime(old, (0, 0))
    assert device.run("missing", "0123", "4567") == (0, "4567\n", "")
    device.run("forget", "0123")
    device.run("tidy")
    assert {path.name for path in (device.home / "files").iterdir()} == {"0123", "4567.part"}


@pytest.mark.parametrize("arguments", [[], ["burn"], ["run", "a"], ["drop", "../a"], ["run", "nothing", "1", "me"]])
def test_what_makes_no_sense_is_refused(device, arguments):
    device.job("a", "")
    code, out, errors = device.run(*arguments)
    assert (code, out) == (2, "")
    assert len(errors.splitlines()) == 1
    assert (device.home / "jobs" / "a" / "job.json").is_file()
    assert json.loads((device.home / "jobs" / "a" / "job.json").read_text())["runtime"] == "none"
