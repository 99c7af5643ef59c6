"""Setting a board up, behind a real sshd: boards that are refused, a disk that fills up, two at once, one that was killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from pipeline.errors import UserError
from targets import _whole
from targets._provision import ask, prepare
from targets.transport.remote import Finished, Heard, Place, Remote
from targets.transport.ssh import Ssh
from tests.conftest import HOME
from tests.targets.emulated import GROUP, HERE, PLACE, wired

pytestmark = [HERE, GROUP]


class Saying(Ssh):
    """The same board, but for some words that it says of itself."""

    words: tuple[str, str] = ("", "")

    def run(self, command: str, heard: Heard | None = None) -> Finished:
        done = super().run(command, heard)
        return replace(done, out=done.out.replace(*self.words))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("aarch64", "riscv64"), "the device is riscv64, 64 bits, Python 3.11, glibc 2.36: expected aarch64, armv7l or x86_64"),
        (("[3, 11]", "[3, 9]"), "its Python must be 3.11 or later"),
        (('"free": ', '"free": 1, "all": '), "the device has 0 MB free in its home, expected at least 600 MB"),
    ],
)
def test_a_board_of_another_kind_is_refused(ssh: Ssh, words: tuple[str, str], line: str) -> None:
    other = Saying(ssh.address, ssh.config, ssh.known_hosts, ssh.keys)
    other.words = words
    with pytest.raises(UserError) as error:
        ask(other)
    assert line in str(error.value)
    other.close()


def test_a_disk_that_fills_up_while_the_board_is_set_up_is_told_and_left_as_it_was(ssh: Ssh) -> None:
    small = PurePosixPath("/tmp/small")  # 64 MB
    with pytest.raises(UserError) as error:
        prepare(ssh, small, HOME / "wheels")
    assert str(error.value).startswith("the device: ")
    assert "is its disk full" in str(error.value) or "No space left" in str(error.value)
    assert sorted(ssh.run(f"ls -A {small}").out.split()) == ["files", "jobs"]
    ssh.run(f"rm -rf {small}")


def test_what_a_killed_set_up_left_is_removed_by_the_next_one(ssh: Ssh, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: 2**31 - 1)  # of a process that is no more
        killed = PLACE / _whole.part_name("env-0")
    ssh.run(f"mkdir -p {killed}/lib")
    foreign = f"{PLACE}/env-0.part-00000000-1-00000000"
    with _whole.whole(ssh, PLACE / "env-0") as mine:
        ssh.run(f"mkdir {foreign}")
        prepare(ssh, PLACE, HOME / "wheels")
        names = ssh.run(f"ls {PLACE}").out.split()
        assert killed.name not in names
        assert {mine.name, PurePosixPath(foreign).name} <= set(names)  # of others nobody knows whether they are at it
    assert "complete" in ssh.run(f"ls {PLACE}/env-0").out
    ssh.run(f"touch -d '2 days ago' {foreign}")
    Remote(ssh, place).tidy()
    assert not [name for name in ssh.run(f"ls {PLACE}").out.split() if ".part-" in name]
    ssh.run(f"rm -rf {PLACE}/env-0")


def test_the_second_of_two_set_ups_takes_what_the_first_one_made(ssh: Ssh) -> None:
    with _whole.whole(ssh, PLACE / "env-1") as second:
        with _whole.whole(ssh, PLACE / "env-1") as first:
            ssh.run(f"touch {first}/first")
        ssh.run(f"touch {second}/second")
    assert ssh.run(f"ls {PLACE}/env-1; rm -rf {PLACE}/env-1").out.split() == ["complete", "first"]


def test_a_run_ends_in_one_line_where_the_board_cannot_be_reached(
    ssh: Ssh, refused: Callable[..., str], tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # a person who never was there
    command = ("run", tiny_recipe, "--target", "rpi", "--device")
    assert "unknown host key ssh-ed25519 SHA256:" in refused(*command, ssh.address)
    with wired(ssh) as (wire, through):
        wire.close()
        assert refused(*command, through.address).startswith(f"{through.address} does not answer")
