"""A device over ssh: `user@host`, `user@host:port`, or a name of ~/.ssh/config. Keys only, known hosts only."""

from __future__ import annotations

import base64
import contextlib
import errno
import getpass
import hashlib
import os
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from targets.transport.remote import ConnectionLost, Finished, Heard

if TYPE_CHECKING:
    import paramiko

SECONDS = 15
"""For the device to answer; afterwards a sign of life is asked for as often."""
CHUNK = 1 << 15
ADDRESS = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:]+\])(?::(?P<port>\d{1,5}))?"
)


@dataclass
class Ssh:
    """A connection. `config`, `known_hosts` and `keys` are a person's own unless they are given."""

    address: str
    config: Path = Path("~/.ssh/config")
    known_hosts: Path = Path("~/.ssh/known_hosts")
    keys: tuple[Path, ...] = ()
    _client: Any = field(default=None, repr=False)
    _sftp: Any = field(default=None, repr=False)

    def connect(self) -> None:
        """Reaches the device. UserError for an unknown or changed host key, a refused login, a name that does not exist."""
        import paramiko

        self.close()
        where = self._where()
        client = paramiko.SSHClient()
        if (known := self.known_hosts.expanduser()).is_file():
            client.load_host_keys(str(known))
        client.set_missing_host_key_policy(_refusing(self))
        try:
            client.connect(
                where["hostname"],
                port=int(where["port"]),
                username=where["user"],
                key_filename=where["keys"] or None,
                look_for_keys=not where["keys"],
                allow_agent=not self.keys,
                timeout=SECONDS,
                banner_timeout=SECONDS,
                auth_timeout=SECONDS,
            )
        except paramiko.BadHostKeyException as error:
            raise UserError(
                f"{self.address}: the host key has changed: found {fingerprint(error.key)}, {known} has "
                f"{fingerprint(error.expected_key)}; remove the old one only if the device was set up anew"
            ) from error
        except paramiko.AuthenticationException as error:
            raise UserError(
                f"{self.address}: login refused for {where['user']}; keys are taken from the agent and ~/.ssh (`ssh-copy-id "
                f"{self.address}` brings yours to the device)"
            ) from error
        except socket.gaierror as error:
            raise UserError(f"{self.address}: no host of this name is known") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise ConnectionLost(f"{self.address} does not answer ({_plain(error)})") from error
        transport = client.get_transport()
        if transport is not None:
            transport.set_keepalive(SECONDS)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: what is not acknowledged for so long has lost its way
                client_socket: Any = transport.sock
                client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2 * SECONDS * 1000)
        self._client = client

    def close(self) -> None:
        """Lets go of it."""
        for each in (self._sftp, self._client):
            if each is not None:
                with contextlib.suppress(Exception):
                    each.close()
        self._client = self._sftp = None

    def run(self, command: str, heard: Heard | None = None) -> Finished:
        """Runs a line of `sh`."""
        import paramiko

        try:
            channel = self._open().get_transport().open_session(timeout=SECONDS)
            channel.exec_command(command)
            channel.shutdown_write()
            return _listen(channel, heard)
        except (paramiko.SSHException, OSError, EOFError, AttributeError) as error:
            raise self._lost(error) from error

    def push(self, source: Path, target: str) -> None:
        """Copies a file under a name of its own, then renames it."""
        part = f"{target}.part"
        with self._files() as sftp:
            try:
                sftp.put(str(source), part)
                sftp.posix_rename(part, target)
            except OSError as error:
                with contextlib.suppress(Exception):
                    sftp.remove(part)
                raise _refusal(error, target) from error

    def pull(self, source: str, target: Path, most: int) -> None:
        """Copies a file from there."""
        with self._files() as sftp, sftp.open(source, "rb") as there, target.open("wb") as here:
            size = there.stat().st_size
            if size > most:
                raise OSError(errno.EFBIG, f"{source} has {size} bytes, expected at most {most}")
            there.prefetch(size)
            copied = 0
            while chunk := there.read(CHUNK):
                copied += len(chunk)
                if copied > most:
                    raise OSError(errno.EFBIG, f"{source} grew beyond {most} bytes")
                here.write(chunk)

    @contextlib.contextmanager
    def _files(self) -> Any:
        import paramiko

        try:
            if self._sftp is None:
                self._sftp = self._open().open_sftp()
            yield self._sftp
        except (paramiko.SSHException, EOFError, ConnectionError) as error:
            raise self._lost(error) from error
        except OSError as error:
            # Nothing but its words tells "Socket is closed" from a refusal of the device; the channel knows.
            if self._sftp is None or not self._sftp.get_channel().closed:
                raise
            raise self._lost(error) from error

    def _open(self) -> Any:
        if self._client is None:
            self.connect()
        return self._client

    def _lost(self, error: BaseException) -> ConnectionLost:
        self.close()
        return ConnectionLost(f"the connection to {self.address} was lost ({_plain(error)})")

    def _where(self) -> dict[str, Any]:
        """Host, port, user and keys, from the address and ~/.ssh/config."""
        import paramiko

        match = ADDRESS.fullmatch(self.address)
        if match is None:
            raise UserError(f"device {self.address!r}: expected user@host, user@host:port or a name of ~/.ssh/config")
        host = match["host"].strip("[]")
        config = paramiko.SSHConfig()
        if (path := self.config.expanduser()).is_file():
            with path.open() as file:
                config.parse(file)
        known = config.lookup(host)
        files = [str(key) for key in self.keys] or known.get("identityfile", [])
        return {
            "hostname": known.get("hostname", host),
            "port": match["port"] or known.get("port", 22),
            "user": match["user"] or known.get("user") or getpass.getuser(),
            "keys": [file for file in files if Path(file).expanduser().is_file()],
        }


def fingerprint(key: Any) -> str:
    """A host key as `ssh-keygen -l` shows it."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def _refusing(ssh: Ssh) -> paramiko.MissingHostKeyPolicy:
    import paramiko

    class Refuse(paramiko.MissingHostKeyPolicy):
        def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
            raise UserError(
                f"{ssh.address}: unknown host key {fingerprint(key)}; if the device shows the same (`ssh-keygen -lf "
                f"/etc/ssh/ssh_host_*_key.pub` on it), log in once with `ssh {ssh.address}` to keep it in {ssh.known_hosts}"
            )

    return Refuse()


def _listen(channel: Any, heard: Heard | None) -> Finished:
    """Reads both outputs to their end, so that neither fills and blocks the other."""
    out, errors, line = bytearray(), bytearray(), bytearray()
    channel.settimeout(SECONDS)
    while True:
        with contextlib.suppress(TimeoutError):
            if channel.recv_stderr_ready():
                errors += channel.recv_stderr(CHUNK)
                continue
            chunk = channel.recv(CHUNK)
            if not chunk:
                break
            if heard is None:
                out += chunk
                continue
            line += chunk
            *whole, rest = line.split(b"\n")
            line = bytearray(rest)
            for each in whole:
                heard(each.decode(errors="replace").strip())
        if not channel.get_transport() or not channel.get_transport().is_active():
            raise EOFError("no sign of life")
    while chunk := channel.recv_stderr(CHUNK):
        errors += chunk
    code = channel.recv_exit_status()
    channel.close()
    if code < 0:
        raise EOFError("the command's end was not told")
    return Finished(code, out.decode(errors="replace"), errors.decode(errors="replace"))


def _refusal(error: OSError, target: str) -> OSError:
    """What sftp says without a reason is, in practice, a full disk: version 3 of the protocol has no word for it."""
    if isinstance(error, ConnectionError) or error.errno is not None:
        return error
    return OSError(errno.ENOSPC, f"cannot write {os.path.basename(target)} ({error}): is its disk full?")  # noqa: PTH119


def _plain(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
