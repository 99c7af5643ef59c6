from __future__ import annotations

import hashlib
import http.server
import re
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pipeline.errors import UserError
from pipeline.fetch import CHUNK, fetch

CONTENT = {"a.gz": bytes(range(256)) * 1000, "b.gz": b"labels" * 500}
TOTAL = sum(map(len, CONTENT.values()))

SOURCE = '''
from dataclasses import dataclass
from typing import final
from models.data._download import Download

@final
@dataclass(frozen=True)
class Tiny:
    """A user's own data set, in two files."""

    downloads = ({downloads})
'''


class Server(http.server.ThreadingHTTPServer):
    """A web server on this machine with the faults of real ones."""

    ranges = True
    content = CONTENT
    cut: int | None = None
    """Close the connection after so many bytes of a body."""
    status: HTTPStatus | None = None
    encoding: str | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that refuses the rest of a body is what some tests are about.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.asked.append((self.path, wanted))
        body = self.server.content[Path(self.path).name]
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.server.ranges else 0  # type: ignore[index]
        past_the_end = start >= len(body)
        status = self.server.status or (416 if past_the_end else 206 if start else 200)
        rest = b"" if status >= 400 else body[start:]
        self.send_response(status)
        self.send_header("Content-Length", str(len(rest)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if self.server.encoding:
            self.send_header("Content-Encoding", self.server.encoding)
        self.end_headers()
        self.wfile.write(rest[: self.server.cut])
        self.close_connection = self.server.cut is not None

    def log_message(self, format: str, *args: object) -> None:
        """A test's output is not a web server's log."""


class Progress:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, float, str]] = []

    def __call__(self, done: float, total: float, what: str = "") -> None:
        self.calls.append((done, total, what))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("EDGEPRESS_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def source(server: Server, tmp_path: Path) -> str:
    """A data set whose files the server has."""
    return write_source(tmp_path / "tiny.py", server.base)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where its files go."""
    return tmp_path / "data/tiny/files"


def write_source(path: Path, base: str) -> str:
    downloads = "".join(
        f'Download("{base}/{name}", "{name}", "{hashlib.sha256(body).hexdigest()}", {len(body)}), '
        for name, body in CONTENT.items()
    )
    path.write_text(SOURCE.format(downloads=downloads))
    return str(path)


def get(source: str, place: Path) -> list[Path]:
    return fetch(source, place.parent.parent, Progress())


def left_in(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()} - {".lock"}


def check(paths: list[Path], place: Path) -> None:
    assert {path.name: path.read_bytes() for path in paths} == CONTENT
    assert left_in(place) == set(CONTENT)


def leave_part(place: Path, content: bytes) -> Path:
    place.mkdir(parents=True)
    part = place / "a.gz.part"
    part.write_bytes(content)
    return part


def test_fetches_every_file_and_counts_the_bytes(source: str, place: Path) -> None:
    progress = Progress()
    check(fetch(source, place.parent.parent, progress), place)
    done = [call[0] for call in progress.calls]
    assert done == sorted(done)
    assert done[-1] == TOTAL
    assert {call[1] for call in progress.calls} == {TOTAL}
    assert {call[2] for call in progress.calls} >= {"a.gz", "b.gz"}


def test_what_is_there_and_right_is_not_fetched_again(source: str, place: Path, server: Server) -> None:
    get(source, place)
    server.asked.clear()
    (place / ".lock").unlink(missing_ok=True)
    check(get(source, place), place)
    assert server.asked == []
    assert not (place / ".lock").exists()  # nothing is written, so a read-only folder will do


def test_what_is_there_and_wrong_is_replaced(source: str, place: Path, server: Server) -> None:
    get(source, place)
    (place / "b.gz").write_bytes(b"x" * len(CONTENT["b.gz"]))
    server.asked.clear()
    check(get(source, place), place)
    assert server.asked == [("/b.gz", None)]


def test_goes_on_where_it_stopped(source: str, place: Path, server: Server) -> None:
    leave_part(place, CONTENT["a.gz"][:1000])
    check(get(source, place), place)
    assert server.asked == [("/a.gz", "bytes=1000-"), ("/b.gz", None)]


def test_a_cut_connection_keeps_what_came(source: str, place: Path, server: Server) -> None:
    server.cut = 2 * CHUNK + 10
    with pytest.raises(UserError, match=r"no connection to 127\.0\.0\.1 \(\w+\); try again later"):
        get(source, place)
    assert left_in(place) == {"a.gz.part"}
    kept = (place / "a.gz.part").read_bytes()
    assert len(kept) >= 2 * CHUNK
    server.cut = None
    check(get(source, place), place)
    assert ("/a.gz", f"bytes={len(kept)}-") in server.asked


def test_a_server_without_ranges_starts_over(source: str, place: Path, server: Server) -> None:
    server.ranges = False
    leave_part(place, b"y" * 1000)
    check(get(source, place), place)


def test_a_complete_part_needs_no_server(source: str, place: Path, server: Server) -> None:
    leave_part(place, CONTENT["a.gz"])
    check(get(source, place), place)
    assert server.asked == [("/b.gz", None)]


def test_a_part_that_is_too_long_starts_over(source: str, place: Path, server: Server) -> None:
    leave_part(place, CONTENT["a.gz"] + b"more")
    check(get(source, place), place)
    assert server.asked[0] == ("/a.gz", None)


def test_a_range_past_the_servers_file_starts_over(source: str, place: Path, server: Server) -> None:
    server.content = CONTENT | {"a.gz": b"short"}
    part = leave_part(place, CONTENT["a.gz"][:1000])
    with pytest.raises(UserError, match=r"a\.gz: found 5 bytes, expected 256000"):
        get(source, place)
    assert server.asked == [("/a.gz", "bytes=1000-"), ("/a.gz", None)]
    assert part.read_bytes() == b"short"


def test_a_wrong_file_is_not_kept(source: str, place: Path, server: Server) -> None:
    wrong = b"z" * len(CONTENT["a.gz"])
    server.content = CONTENT | {"a.gz": wrong}
    with pytest.raises(UserError) as caught:
        get(source, place)
    found, expected = (hashlib.sha256(body).hexdigest() for body in (wrong, CONTENT["a.gz"]))
    assert f"{server.base}/a.gz: found sha256 {found}, expected {expected}" in str(caught.value)
    assert left_in(place) == set()


def test_a_body_that_is_too_long_is_not_written(source: str, place: Path, server: Server) -> None:
    server.content = CONTENT | {"a.gz": CONTENT["a.gz"] + b"more"}
    with pytest.raises(UserError, match=r"a\.gz: found more than the expected 256000 bytes"):
        get(source, place)
    assert left_in(place) == set()


def test_a_gz_file_stays_packed_whatever_the_server_calls_it(source: str, place: Path, server: Server) -> None:
    server.encoding = "gzip"
    check(get(source, place), place)


def test_a_servers_refusal_is_one_line(source: str, place: Path, server: Server) -> None:
    server.status = HTTPStatus.NOT_FOUND
    with pytest.raises(UserError, match=r"/a\.gz: the server says 404 Not Found; .*put a\.gz, b\.gz into .* by hand"):
        get(source, place)


def test_no_connection_names_the_host_and_what_to_do(tmp_path: Path, place: Path, server: Server) -> None:
    base = server.base
    server.server_close()  # now nothing listens on this port
    with pytest.raises(UserError) as caught:
        get(write_source(tmp_path / "tiny.py", base), place)
    words = str(caught.value)
    assert "no connection to 127.0.0.1 (ConnectionError)" in words
    assert f"put a.gz, b.gz into {place} by hand" in words
    assert "\n" not in words


def test_a_mirror_is_a_data_root(tmp_path: Path, place: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRESS_MIRROR", f"{server.base}/")
    check(get(write_source(tmp_path / "tiny.py", "http://nowhere.invalid"), place), place)
    assert server.asked == [("/tiny/files/a.gz", None), ("/tiny/files/b.gz", None)]


@pytest.mark.parametrize("mirror", ["nonsense", "ftp://127.0.0.1", "http://"])
def test_a_mirror_that_is_no_url_is_one_line(source: str, place: Path, mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRESS_MIRROR", mirror)
    with pytest.raises(UserError, match="EDGEPRESS_MIRROR"):
        get(source, place)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_one_line(source: str, place: Path) -> None:
    place.mkdir(parents=True)
    (place / "a.gz.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match=rf"the disk is full, {TOTAL} bytes are needed"):
        get(source, place)


def test_a_file_where_the_folder_should_be_is_one_line(source: str, place: Path) -> None:
    place.parent.parent.write_text("")
    with pytest.raises(UserError, match=r"cannot keep the files there"):
        get(source, place)


def test_two_runs_do_not_write_the_same_part(source: str, place: Path, server: Server) -> None:
    place.mkdir(parents=True)
    with FileLock(place / ".lock"), pytest.raises(UserError, match="another run is fetching into this folder"):
        get(source, place)
    assert server.asked == []
    check(get(source, place), place)


def test_digits_has_nothing_to_fetch(tmp_path: Path) -> None:
    progress = Progress()
    assert fetch("digits", tmp_path, progress) == []
    assert "digits: nothing to fetch" in progress.calls[-1][2]
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_data_set_has_a_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        fetch("mnits", tmp_path, Progress())


MANY = '''
from dataclasses import dataclass
from pathlib import Path
from typing import final
from models.data._download import Listed

@final
@dataclass(frozen=True)
class Many:
    """A data set in a folder of its own, its files in a list."""

    folder = "recordings"
    downloads = Listed(Path(__file__).with_suffix(".sha256"), "{base}")
'''


def write_list(path: Path, base: str, content: dict[str, bytes]) -> str:
    path.write_text(MANY.format(base=base))
    lines = (f"{hashlib.sha256(body).hexdigest()} {len(body)} {name}\n" for name, body in content.items())
    path.with_suffix(".sha256").write_text("".join(lines))
    return str(path)


def test_a_list_of_files_goes_into_the_folder_that_the_data_set_names(tmp_path: Path, server: Server) -> None:
    source = write_list(tmp_path / "many.py", server.base, CONTENT)
    place = tmp_path / "data/many/recordings"
    check(get(source, place), place)
    assert server.asked == [("/a.gz", None), ("/b.gz", None)]


def test_a_mirror_has_that_folder_too(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRESS_MIRROR", server.base)
    place = tmp_path / "data/many/recordings"
    check(get(write_list(tmp_path / "many.py", "http://nowhere.invalid", CONTENT), place), place)
    assert [path for path, _ in server.asked] == ["/many/recordings/a.gz", "/many/recordings/b.gz"]


def test_a_line_does_not_name_thousands_of_files(tmp_path: Path, server: Server) -> None:
    server.status = HTTPStatus.NOT_FOUND
    content = {f"{number}.wav": b"x" for number in range(3000)}
    with pytest.raises(UserError, match=r"put the 3000 missing files into .*recordings by hand"):
        get(write_list(tmp_path / "many.py", server.base, content), tmp_path / "data/many/recordings")
