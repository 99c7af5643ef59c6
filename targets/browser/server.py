"""Serves the page and talks with it: one visitor, who has the token of the address; limits on all that comes in; a short life.

GET  /<token>          once: the visitor gets a cookie and is sent to /
GET  /, /page/, /npm/  the page, the runtimes
GET  /files/<sha256>   what is measured
POST /hello            what the browser is
GET  /next             what to do
POST /progress/N, /answer/N
"""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from pipeline.core import Json
from targets.browser.address import Address
from targets.browser.certificate import make
from targets.browser.session import Session

PAGE = Path(__file__).resolve().parent / "page"
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
}
MOST_BYTES = 256 << 20
"""Of an answer."""
MOST_WORDS = 64 << 10
"""Of anything else that comes in."""
HEADERS = [
    # Both are needed for threads and for a clock with fine steps.
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' blob:; worker-src 'self' blob:; "
        "connect-src 'self' blob: data:; style-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]
Environ = dict[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]


class Refused(Exception):
    """A request that is not answered: the status line, and a sentence for whoever reads it."""

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status


class App:
    """The WSGI application."""

    def __init__(self, session: Session, npm: Path, secure: bool) -> None:
        self.session, self.npm, self.secure = session, npm, secure
        self.token, self._cookie, self._lock = secrets.token_urlsafe(16), "", Lock()

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answers a request."""
        try:
            status, headers, body = self._answer(environ)
        except Refused as error:
            status, headers, body = error.status, [("Content-Type", "text/plain; charset=utf-8")], f"{error}\n".encode()
        start(status, [*HEADERS, *headers, ("Content-Length", str(len(body)))])
        return [body]

    def _answer(self, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].strip("/").split("/")
        if method == "GET" and len(path) == 1 and hmac.compare_digest(path[0].encode(), self.token.encode()):
            return self._welcome(environ)
        if not self._known(environ):
            raise Refused(
                "403 Forbidden", "This page is for the one who opens the address that Edgepress printed, and only once."
            )
        match method, path:
            case "GET", [""]:
                return _file(PAGE, "index.html")
            case "GET", ["page", name]:
                return _file(PAGE, name)
            case "GET", ["npm", *names]:
                return _file(self.npm, "/".join(names), kept=True)
            case "GET", ["files", digest] if digest in self.session.files:
                return _file(self.session.files[digest].parent, self.session.files[digest].name, kept=True)
            case "GET", ["next"]:
                command = self.session.next()
                return ("200 OK", [("Cache-Control", "no-store")], command) if command else ("204 No Content", [], b"")
            case "POST", ["hello"]:
                self.session.hello(_words(environ))
            case "POST", ["progress", number]:
                words = _words(environ)
                self.session.progress(_whole(number), _number(words, "done"), _number(words, "total"))
            case "POST", ["answer", number]:
                self.session.answer(_whole(number), _body(environ, MOST_BYTES))
            case _:
                raise Refused("404 Not Found", "There is nothing here.")
        return "204 No Content", [], b""

    def _welcome(self, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
        """The first visitor gets the cookie; whoever comes later must have it."""
        with self._lock:
            if self._cookie and not self._known(environ):
                raise Refused(
                    "403 Forbidden", "This address was opened already, by another browser. Run Edgepress again for a new one."
                )
            self._cookie = self._cookie or secrets.token_urlsafe(32)
        cookie = f"edgepress={self._cookie}; HttpOnly; SameSite=Strict; Path=/" + ("; Secure" if self.secure else "")
        return "303 See Other", [("Location", "/"), ("Set-Cookie", cookie)], b""

    def _known(self, environ: Environ) -> bool:
        with contextlib.suppress(CookieError):
            found = SimpleCookie(environ.get("HTTP_COOKIE", "")).get("edgepress")
            return bool(self._cookie and found and hmac.compare_digest(found.value.encode(), self._cookie.encode()))
        return False


def _file(folder: Path, name: str, kept: bool = False) -> tuple[str, list[tuple[str, str]], bytes]:
    """A file of a folder of ours; nothing that a name could lead to outside of it."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise Refused("404 Not Found", "There is nothing here.")
    kind = KINDS.get(path.suffix, "application/octet-stream")
    cache = "private, max-age=86400, immutable" if kept else "no-store"
    return "200 OK", [("Content-Type", kind), ("Cache-Control", cache)], path.read_bytes()


def _body(environ: Environ, most: int) -> bytes:
    length = environ.get("CONTENT_LENGTH", "")
    if not length.isdecimal():
        raise Refused("411 Length Required", "How long is it?")
    if int(length) > most:
        raise Refused("413 Content Too Large", f"At most {most} bytes are taken.")
    body: bytes = environ["wsgi.input"].read(int(length))
    return body


def _words(environ: Environ) -> Json:
    try:
        words = json.loads(_body(environ, MOST_WORDS))
    except ValueError as error:
        raise Refused("400 Bad Request", "That is no JSON.") from error
    if not isinstance(words, dict):
        raise Refused("400 Bad Request", "That is no JSON object.")
    return words


def _number(words: Json, name: str) -> float:
    if not isinstance(value := words.get(name), (int, float)):
        raise Refused("400 Bad Request", f"{name} is no number.")
    return float(value)


def _whole(text: str) -> int:
    if not (text.isdecimal() and len(text) < 10):
        raise Refused("404 Not Found", "There is nothing here.")
    return int(text)


@contextlib.contextmanager
def serve(address: Address, app: App) -> Iterator[tuple[str, str]]:
    """Listens meanwhile; yields where (scheme://host:port) and the certificate's sha256, "" without one."""
    from cheroot.ssl.builtin import BuiltinSSLAdapter
    from cheroot.wsgi import Server

    with tempfile.TemporaryDirectory(prefix="edgepress-web-") as folder:
        server = Server((address.host, address.port), app, numthreads=8, max=16, timeout=60)
        server.max_request_body_size, server.max_request_header_size = MOST_BYTES, 16 << 10
        fingerprint = ""
        if address.secure:
            public, private, fingerprint = make(address.host, Path(folder))
            server.ssl_adapter = BuiltinSSLAdapter(str(public), str(private))
        server.prepare()
        thread = Thread(target=server.serve, daemon=True, name="edgepress-web")
        thread.start()
        host, port = server.bind_addr[:2]
        try:
            shown = f"[{host}]" if ":" in host else host
            yield f"{'https' if address.secure else 'http'}://{shown}:{port}", fingerprint
        finally:
            app.session.stop()
            server.stop()
            thread.join(5)
