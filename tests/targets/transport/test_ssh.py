"""ssh to a real sshd, behind which an emulated Pi answers."""

from __future__ import annotations

import errno
import subprocess
import threading
from pathlib import Path

import pytest

from pipeline.errors import UserError
from targets.transport.remote import ConnectionLost, Finished
from targets.transport.ssh import Ssh
from tests.targets.emulated import GROUP, HERE, wired

pytestmark = [HERE, GROUP]


def other(ssh: Ssh, **changes: object) -> Ssh:
    return Ssh(**{name: changes.get(name, getattr(ssh, name)) for name in ("address", "config", "known_hosts", "keys")})


def key(folder: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    return folder / "key"


def test_a_command_runs_on_the_board(ssh: Ssh) -> None:
    assert ssh.run("uname -m; echo gone >&2; exit 3") == Finished(3, "aarch64\n", "gone\n")


def test_lines_are_heard_as_they_come_and_much_is_no_problem(ssh: Ssh) -> None:
    lines: list[str] = []
    done = ssh.run("seq 100000; seq 100000 >&2", lines.append)
    assert (done.code, done.out, len(done.errors.splitlines())) == (0, "", 100000)
    assert lines == [str(number) for number in range(1, 100001)]


def test_files_go_there_and_come_back(ssh: Ssh, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 5000)
    ssh.push(tmp_path / "a", "/tmp/a b")
    ssh.pull("/tmp/a b", tmp_path / "back", 2_000_000)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "a").read_bytes()
    with pytest.raises(OSError, match="1280000 bytes, expected at most 1000"):
        ssh.pull("/tmp/a b", tmp_path / "back", 1000)
    assert ssh.run("rm '/tmp/a b'; ls /tmp").out == ""


def test_a_full_disk_is_told_and_nothing_half_written_is_left(ssh: Ssh, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 80_000_000)
    with pytest.raises(OSError, match="is its disk full") as error:
        ssh.push(tmp_path / "large", "/tmp/large")
    assert error.value.errno == errno.ENOSPC
    assert ssh.run("ls -A /tmp").out == ""


def test_an_unknown_host_key_is_refused_with_its_fingerprint(ssh: Ssh, tmp_path: Path) -> None:
    shown = subprocess.run(
        ["ssh-keygen", "-lf", ssh.known_hosts.parent.parent / "host_key.pub"], capture_output=True, text=True, check=True
    )
    with pytest.raises(UserError) as error:
        other(ssh, known_hosts=tmp_path / "none").connect()
    assert f"unknown host key ssh-ed25519 {shown.stdout.split()[1]}" in str(error.value)


def test_a_changed_host_key_is_refused(ssh: Ssh, tmp_path: Path) -> None:
    public = key(tmp_path).with_suffix(".pub").read_text()
    (tmp_path / "known").write_text(f"{ssh.known_hosts.read_text().split()[0]} {public}")
    with pytest.raises(UserError, match="the host key has changed: found ssh-ed25519 SHA256:"):
        other(ssh, known_hosts=tmp_path / "known").connect()


def test_a_refused_login_is_told(ssh: Ssh, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="login refused for pi"):
        other(ssh, keys=(key(tmp_path),)).connect()


def test_a_board_that_is_not_there_may_come_yet(ssh: Ssh) -> None:
    with wired(ssh) as (wire, through):
        wire.close()
        with pytest.raises(ConnectionLost, match="does not answer"):
            through.connect()


@pytest.mark.parametrize("address", ["", "a b", "me@", "host:port", "x@y@z", "-oProxyCommand=true"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="expected user@host"):
        Ssh(address).connect()


def test_the_name_of_a_persons_config_is_understood(ssh: Ssh, tmp_path: Path) -> None:
    port = ssh.address.rpartition(":")[2]
    (tmp_path / "config").write_text(f"Host board\n  HostName 127.0.0.1\n  Port {port}\n  User pi\n")
    named = other(ssh, address="board", config=tmp_path / "config")
    assert named.run("id -un").out == "pi\n"
    named.close()


def test_a_connection_that_is_cut_in_a_command_is_told(ssh: Ssh) -> None:
    with wired(ssh) as (wire, through):
        through.connect()
        threading.Timer(1, wire.cut).start()
        with pytest.raises(ConnectionLost, match=r"the connection to .* was lost"):
            through.run("sleep 30")
        assert through.run("echo again") == Finished(0, "again\n", "")


def test_a_connection_that_is_cut_in_a_transfer_leaves_the_old_file(ssh: Ssh, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "new").write_bytes(b"x" * 50_000_000)
    ssh.push(tmp_path / "old", "/tmp/file")
    with wired(ssh) as (wire, through):
        through.connect()
        threading.Timer(0.1, wire.cut).start()
        with pytest.raises(ConnectionLost):
            for _ in range(100):
                through.push(tmp_path / "new", "/tmp/file")
                ssh.push(tmp_path / "old", "/tmp/file")
    ssh.pull("/tmp/file", tmp_path / "back", 100)
    assert (tmp_path / "back").read_text() == "old"
    ssh.run("rm -f /tmp/*")
