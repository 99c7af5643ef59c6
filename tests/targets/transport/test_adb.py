"""adb to a real adbd, behind which arm64 programs run under qemu."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from pipeline.errors import UserError
from pipeline.measure import Failure, Samples
from targets._sampling import Candidate, MeasureSet, sample
from targets._userland import prepare
from targets.transport.adb import Adb
from targets.transport.remote import ConnectionLost, Finished, Remote
from tests.conftest import HOME
from tests.targets.adbd import DATA, HERE, SMALL, phone
from tests.targets.emulated import GROUP, ONCE

pytestmark = [HERE, GROUP]


@pytest.fixture(scope="module")
def adb() -> Iterator[Adb]:
    with phone(HOME / "phone") as found:
        yield found


def test_a_command_runs_on_the_phone(adb: Adb) -> None:
    assert adb.run("echo here; echo gone >&2; exit 3") == Finished(3, "here\n", "gone\n")


def test_lines_are_heard_as_they_come_and_much_is_no_problem(adb: Adb) -> None:
    lines: list[str] = []
    done = adb.run("seq 100000; seq 100000 >&2", lines.append)
    assert (done.code, done.out, len(done.errors.splitlines())) == (0, "", 100000)
    assert lines == [str(number) for number in range(1, 100001)]


def test_files_go_there_and_come_back(adb: Adb, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 5000)
    adb.push(tmp_path / "a", f"{DATA}/a")
    adb.pull(f"{DATA}/a", tmp_path / "back", 2_000_000)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "a").read_bytes()
    with pytest.raises(OSError, match="more than 1000 bytes"):
        adb.pull(f"{DATA}/a", tmp_path / "back", 1000)
    adb.run(f"rm {DATA}/a")


def test_a_full_phone_is_told_and_nothing_half_written_is_left(adb: Adb, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 20_000_000)
    with pytest.raises(OSError, match="cannot write large") as error:
        adb.push(tmp_path / "large", f"{SMALL}/large")
    assert error.value.errno == errno.ENOSPC
    assert adb.run(f"ls -A {SMALL}").out == ""


def test_a_phone_that_is_not_there_is_told(adb: Adb) -> None:
    with pytest.raises(UserError, match=f"R58: no such phone; adb sees {adb.serial}"):
        Adb("R58", adb.port).connect()
    alone = Adb("", adb.port)
    alone.connect()
    assert alone.serial == adb.serial


def test_a_phone_that_is_pulled_out_is_a_lost_connection(tmp_path: Path) -> None:
    with phone(HOME / "phone") as other:

        def heard(line: str) -> None:
            other._client().disconnect(other.serial)  # as pulling its cable does

        with pytest.raises(ConnectionLost, match=r"the connection to .* was lost"):
            other.run("echo begun; sleep 60", heard)
        other.connect()
        assert other.run("echo again").out == "again\n"


def test_a_job_is_judged_and_run_on_the_phone_which_is_set_up_once(adb: Adb, candidate: Candidate) -> None:
    said: list[str] = []
    place = PurePosixPath(DATA) / "edgepress"
    remote = Remote(adb, prepare(adb, place, HOME / "userland", said.append))
    for runtime in ("onnxruntime", "litert"):
        measured = sample(remote, [MeasureSet(runtime, {"a": candidate})], ONCE, lambda *said: None)
        samples, evidence = measured.sets[0]["a"], measured.judged[0]["a"]
        if runtime == "litert":  # an ONNX file is none of its own: the runtime is there, and says so
            assert isinstance(samples, Failure)
            assert "classifier.onnx" in samples.reason
            continue
        assert isinstance(samples, Samples), samples
        assert not isinstance(evidence, Failure)
        assert evidence["correct"].tolist() == [True, True, True, False]
        assert measured.raw[runtime][0]["environment"]["host"]["features"] == ["dotprod", "neon"]
    mine = set(remote.sent)
    remote.tidy()
    assert mine.isdisjoint(adb.run(f"ls {place}/jobs {place}/files").out.split())
    said.clear()
    prepare(adb, place, HOME / "userland", said.append)
    assert said == []


class Other(Adb):
    """A phone that says of itself to be another."""

    def run(self, command: str, heard=None) -> Finished:
        return Finished(0, "armv8l\n", "") if command == "uname -m" else super().run(command, heard)


def test_a_phone_of_32_bits_is_refused(adb: Adb) -> None:
    with pytest.raises(UserError, match="the phone is armv8l, expected aarch64"):
        prepare(Other(adb.serial, adb.port), PurePosixPath(DATA) / "x", HOME / "userland")


def test_a_phone_on_a_cable_reaches_a_page_of_this_machine_meanwhile(adb: Adb) -> None:
    from targets.browser.address import Address
    from targets.browser.server import App, serve
    from targets.browser.session import Session

    app = App(Session(), HOME, secure=False)
    with serve(Address(), app) as (origin, _):
        ask = f"{sys.executable} -c \"import requests; print(requests.get('{origin}/{app.token}').status_code)\""
        with adb.reversed(int(origin.rpartition(":")[2])):
            assert adb.run(ask).out == "200\n"
        assert "Connection refused" in adb.run(ask).errors
