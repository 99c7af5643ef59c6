"""Whole jobs on an emulated board, through a wire that is cut."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pipeline.measure import Failure, Samples
from targets._provision import prepare
from targets._sampling import Candidate
from targets.transport.remote import Place, Remote
from targets.transport.ssh import Ssh
from tests.conftest import HOME
from tests.targets.emulated import GROUP, HERE, ONCE, PLACE, measure, wired

pytestmark = [HERE, GROUP]
KILL = (
    "import os, pathlib\n"
    "for each in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
    "    if b'device.' b'runner' in each.read_bytes(): os.kill(int(each.parent.name), 9)"
)


def left(ssh: Ssh) -> str:
    return ssh.run(f"ls {PLACE}/jobs {PLACE}/files").out


def test_a_job_is_judged_and_run_there_and_leaves_nothing(ssh: Ssh, place: Place, candidate: Candidate) -> None:
    remote = Remote(ssh, place)
    samples, evidence, measured = measure(remote, candidate)
    assert isinstance(samples, Samples)
    assert not isinstance(evidence, Failure)
    assert evidence["correct"].tolist() == [True, True, True, False]
    assert measured.outputs[0]["a"]["logits"].tolist() == [[1, 0, 0]]
    environment = measured.raw["onnxruntime"][0]["environment"]
    assert environment["host"]["cpu"] == "Cortex-A72 (Raspberry Pi 4 Model B (emulated))"
    mine = set(remote.sent)
    remote.tidy()
    assert len(mine) == 3
    assert mine.isdisjoint(left(ssh).split())  # others may be at it, too


def test_setting_up_again_sends_nothing(ssh: Ssh, place: Place) -> None:
    said: list[str] = []
    assert prepare(ssh, PLACE, HOME / "wheels", say=said.append)[1] == place
    assert said == []


def test_a_cut_connection_is_made_again_and_the_job_is_joined(ssh: Ssh, place: Place, candidate: Candidate) -> None:
    with wired(ssh) as (wire, through):
        remote = Remote(through, place, retry=(0.1, 0.5, 2))
        said: list[str] = []

        def heard(done: float, total: float, what: str) -> None:
            said.append(what)
            if 0 < done < 0.5 and wire.connections == 1:  # judged: one of three steps
                wire.cut()

        samples, evidence, _ = measure(remote, candidate, heard)
        assert isinstance(samples, Samples), samples
        assert not isinstance(evidence, Failure)
        assert wire.connections == 2
        assert any("was lost" in line and "trying again" in line for line in said)
        assert len(said) > 2
    assert f"{PLACE}/jobs:" in left(ssh)


def test_a_board_that_is_gone_is_given_up_in_one_line(ssh: Ssh, place: Place, candidate: Candidate) -> None:
    with wired(ssh) as (wire, through):
        through.connect()
        wire.close()
        samples, evidence, _ = measure(Remote(through, place, retry=(0.05, 0.05)), candidate)
        assert isinstance(samples, Failure)
        assert isinstance(evidence, Failure)
        assert "given up after 2 tries" in samples.reason
        assert "\n" not in samples.reason


def test_a_full_disk_of_the_board_is_told(ssh: Ssh, place: Place, candidate: Candidate, tmp_path: Path) -> None:
    large = tmp_path / "large.onnx"
    large.write_bytes(b"x" * 80_000_000)
    small = PurePosixPath("/tmp/small")
    ssh.run(f"mkdir -p {small}/files {small}/jobs")
    samples, _, _ = measure(
        Remote(ssh, replace(place, home=small)), Candidate((large,), candidate.inputs, judging=candidate.judging)
    )
    assert isinstance(samples, Failure)
    assert "is its disk full" in samples.reason
    ssh.run(f"rm -rf {small}")


def test_a_runner_that_the_board_kills_is_told(ssh: Ssh, place: Place, candidate: Candidate) -> None:
    def heard(done: float, total: float, what: str) -> None:
        if 0 < done < 0.5:
            ssh.run(f'python3 -c "{KILL}"')

    long = replace(ONCE, sampling=replace(ONCE.sampling, steady_calls=10**9, steady_seconds=60))
    samples, _, _ = measure(Remote(ssh, place), candidate, heard, long)
    assert isinstance(samples, Failure)
    assert samples.reason.startswith("the runner was killed: out of memory, or longer than")


def test_a_result_that_was_cut_short_there_is_not_believed(ssh: Ssh, place: Place, candidate: Candidate) -> None:
    class Cutting(Ssh):
        def pull(self, source: str, target: Path, most: int) -> None:
            super().pull(source, target, most)
            if target.name == "result.json":
                target.write_text(json.dumps(json.loads(target.read_text()))[:-30])

    cutting = Cutting(ssh.address, ssh.config, ssh.known_hosts, ssh.keys)
    samples, _, _ = measure(Remote(cutting, place), candidate)
    assert isinstance(samples, Failure)
    assert "Invalid JSON" in samples.reason
    cutting.close()
