"""What goes wrong on and around a board, behind a real sshd: one clear line each, nothing left there, a rerun goes on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import onnx
import pytest

from pipeline.measure import Failure, Samples
from targets._sampling import Candidate, Plan
from targets.transport.remote import Place, Remote
from targets.transport.ssh import Ssh
from tests.targets.emulated import GROUP, HERE, ONCE, PLACE, measure, wired

pytestmark = [HERE, GROUP]
DAY = 86400
JUMPING = f"""
import time
real, began = time.time, time.monotonic()
def jumping():
    seconds = time.monotonic() - began
    return real() + {DAY} * ({{expression}})
time.time, time.time_ns = jumping, lambda: int(jumping() * 1e9)
"""
TO_AND_FRO = "(1, 0, -1)[int(4 * seconds) % 3]"
BACK = "-1 if seconds > 2 else 0"


def lasting(seconds: float, timeout: float = ONCE.timeout) -> Plan:
    """A plan whose job runs for so long."""
    return replace(ONCE, timeout=timeout, sampling=replace(ONCE.sampling, steady_calls=10**9, steady_seconds=seconds))


def again(ssh: Ssh) -> Ssh:
    """Another client of the same board."""
    return Ssh(ssh.address, ssh.config, ssh.known_hosts, ssh.keys)


def left(ssh: Ssh, remote: Remote) -> set[str]:
    """What is there of a client's files, jobs and set-ups; others may be at it, too."""
    mine = set(remote.sent)
    remote.tidy()
    names = ssh.run(f"ls -A {PLACE} {PLACE}/files").out.split()
    return {name for name in names if name.removesuffix(".part") in mine or ".part-" in name}


@pytest.fixture
def jumping(ssh: Ssh, place: Place, tmp_path: Path) -> Callable[[str], Place]:
    """The board, where every Python's clock is set by so many days, that many seconds after it started."""

    def set_clock(expression: str) -> Place:
        (tmp_path / "sitecustomize.py").write_text(JUMPING.format(expression=expression))
        ssh.run(f"mkdir -p {PLACE}/jumping")
        ssh.push(tmp_path / "sitecustomize.py", f"{PLACE}/jumping/sitecustomize.py")
        there = replace(place, variables=(("PYTHONPATH", f"{PLACE}/jumping:{place.code}:{place.site}"),))
        spread = "import time; seen = [(time.sleep(.1), time.time())[1] for _ in range(30)]; print(max(seen) - min(seen))"
        assert float(ssh.run(f'{there.python} -c "{spread}"').out) > 0.9 * DAY
        return there

    return set_clock


def test_a_clock_that_jumps_moves_no_deadline_and_no_duration(
    ssh: Ssh, jumping: Callable[[str], Place], candidate: Candidate
) -> None:
    remote = Remote(ssh, jumping(TO_AND_FRO))
    samples, evidence, _ = measure(remote, candidate, plan=lasting(3, timeout=120))
    assert isinstance(samples, Samples), samples
    assert not isinstance(evidence, Failure)
    (steady,) = samples.steady
    assert 2.5e9 < steady.sum() < 60e9  # nanoseconds; some go between two calls
    assert steady.min() > 0
    assert max(samples.load.max(), samples.first.max()) < 60e9
    assert left(ssh, remote) == set()


def test_a_job_is_given_up_when_its_time_is_over_though_the_clock_was_set_back(
    ssh: Ssh, jumping: Callable[[str], Place], candidate: Candidate
) -> None:
    samples, _, _ = measure(Remote(ssh, jumping(BACK)), candidate, plan=lasting(60, timeout=15))
    assert samples == Failure("given up after 15 s")


def test_the_second_of_two_clients_waits_and_is_told_for_whom(ssh: Ssh, place: Place, candidate: Candidate) -> None:
    begun, found = threading.Event(), []

    def heard(done: float, total: float, what: str) -> None:
        if done > 0:
            begun.set()

    other = again(ssh)
    first = threading.Thread(target=lambda: found.append(measure(Remote(other, place), candidate, heard, lasting(20))[0]))
    first.start()
    assert begun.wait(60)
    said: list[str] = []
    second, _, _ = measure(Remote(ssh, place), candidate, lambda done, total, what: said.append(what), replace(ONCE, seed=1))
    first.join()
    other.close()
    assert [type(each) for each in (*found, second)] == [Samples, Samples], (found, second)
    assert any(line.startswith("waiting: ") and line.endswith(" measures on this device") for line in said)


@pytest.fixture
def large(candidate: Candidate, tmp_path: Path) -> Candidate:
    """The same, in a file of 20 MB that nobody has sent yet."""
    model = onnx.load(candidate.files[0])
    onnx.helper.set_model_props(model, {"padding": str(tmp_path) + "x" * 20_000_000})
    path = tmp_path / "large.onnx"
    onnx.save(model, path)
    return replace(candidate, files=(path,))


def test_a_cable_pulled_in_the_middle_of_a_file_costs_that_file_alone(ssh: Ssh, place: Place, large: Candidate) -> None:
    with wired(ssh) as (wire, through):
        through.connect()
        wire.bytes_left = 8_000_000
        samples, _, _ = measure(Remote(through, place, retry=(0.1, 0.5)), large)
        assert isinstance(samples, Samples), samples
        assert wire.connections == 2


def test_a_run_given_up_in_the_middle_of_a_file_goes_on_where_it_was(ssh: Ssh, place: Place, large: Candidate) -> None:
    with wired(ssh) as (wire, through):
        through.connect()
        wire.bytes_left = 8_000_000
        samples, _, _ = measure(Remote(through, place, retry=()), large, lambda *said: None)
        assert isinstance(samples, Failure)
        assert "was lost" in samples.reason and samples.reason.endswith("; given up after 0 tries")
        assert len(samples.reason.splitlines()) == 1
    remote, said = Remote(ssh, place), []
    samples, _, _ = measure(remote, large, lambda done, total, what: said.append(what))
    assert isinstance(samples, Samples), samples
    assert "waiting: sending large.onnx" in said  # half of it was there, and was not taken for all of it
    assert left(ssh, remote) == set()


def test_a_job_whose_client_went_away_is_joined_by_the_next_one(ssh: Ssh, place: Place, candidate: Candidate) -> None:
    with wired(ssh) as (wire, through):

        def heard(done: float, total: float, what: str) -> None:
            if done > 0:
                wire.close()

        samples, _, _ = measure(Remote(through, place, retry=()), candidate, heard, lasting(8))
        assert isinstance(samples, Failure)
    running = ssh.run(f"cat {PLACE}/jobs/*/runner.json").out
    assert json.loads(running)["pid"] > 0
    remote = Remote(ssh, place)
    seen: list[str] = []
    samples, _, _ = measure(
        remote, candidate, lambda *said: seen.append(ssh.run(f"cat {PLACE}/jobs/*/runner.json").out), lasting(8)
    )
    assert isinstance(samples, Samples), samples
    assert set(seen) == {running}  # the very process that was begun before
    assert left(ssh, remote) == set()


FORGE = """
import hashlib, json, pathlib, sys
import numpy as np
folder = pathlib.Path(sys.argv[1])
body = json.loads((folder / 'result.json').read_text())
{change}
(folder / 'result.json').write_text(json.dumps(body))
"""
ROWS = """
np.savez(folder / 'evidence-0.npz', correct=np.ones(99, bool))
data = (folder / 'evidence-0.npz').read_bytes()
body['files']['evidence-0.npz'] = [len(data), hashlib.sha256(data).hexdigest()]
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("body['files']['outputs-0.npz'][0] += 1", "files: outputs-0.npz does not match its size and sha256"),
        ("body['files']['../../lock'] = [1, '0' * 64]", "files: '../../lock' is no file name of a result"),
        (ROWS, "the device's evidence has correct (99,), expected 4 rows"),
    ],
    ids=["size", "name", "shape"],
)
def test_a_result_forged_on_the_board_is_not_believed(
    ssh: Ssh, place: Place, candidate: Candidate, tmp_path: Path, change: str, words: str
) -> None:
    (tmp_path / "forge.py").write_text(FORGE.format(change=change))
    ssh.push(tmp_path / "forge.py", "/tmp/forge.py")

    class Forged(Ssh):
        def pull(self, source: str, target: Path, most: int) -> None:
            if target.name == "result.json":
                assert self.run(f"{place.python} /tmp/forge.py {PurePosixPath(source).parent}").code == 0
            super().pull(source, target, most)

    remote = Remote(Forged(ssh.address, ssh.config, ssh.known_hosts, ssh.keys), place)
    samples, evidence, _ = measure(remote, candidate)
    assert isinstance(evidence, Failure)
    assert words in evidence.reason
    assert len(evidence.reason.splitlines()) == 1
    assert isinstance(samples, Samples) == (change == ROWS)
    assert left(ssh, remote) == set()
    ssh.run("rm /tmp/forge.py")


def test_a_board_that_has_lost_its_runtime_is_told(ssh: Ssh, place: Place, candidate: Candidate) -> None:
    ssh.run(f"mkdir {PLACE}/lost && mv {place.site}/onnxruntime* {PLACE}/lost")
    try:
        samples, _, _ = measure(remote := Remote(ssh, place), candidate)
    finally:
        ssh.run(f"mv {PLACE}/lost/* {place.site} && rmdir {PLACE}/lost")
    assert isinstance(samples, Failure)
    assert "onnxruntime is not installed" in samples.reason
    assert len(samples.reason.splitlines()) == 1
    assert left(ssh, remote) == set()
