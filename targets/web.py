"""A phone's browser, or any: it opens a page that this machine serves, and that page measures."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, final

from pipeline.core import Progress
from pipeline.errors import UserError
from pipeline.places import home
from pipeline.progress import silent
from pipeline.registry import names
from targets._device import Judges, Say
from targets._sampling import Measured, MeasureSet, Plan, sample
from targets.browser import npm
from targets.browser.address import Address, parse
from targets.browser.server import App, serve
from targets.browser.session import Session
from targets.transport.browser import Browser

PACKAGES = {"onnxruntime": "onnxruntime-web", "litert": "@litertjs/core"}
"""What each runtime is called in a browser."""
MOST_CALLS = 20_000
"""Of a candidate's graphs by its judge: a minute or so, of all test pictures or of 156 texts of 128 characters."""
WAIT_SECONDS = 600.0
"""For somebody to open the page."""


@dataclass(frozen=True)
class Page:
    """A page that was opened."""

    session: Session

    def runtimes(self) -> dict[str, str | None]:
        """Each runtime, with the reason why a browser has none."""
        return {name: None if name in PACKAGES else f"there is no {name} for browsers" for name in names("runtime")}

    def measure(self, sets: list[MeasureSet], lock: Path, plan: Plan, progress: Progress = silent) -> Measured:
        """Judges and measures all candidates in the page."""
        packages = {runtime: (name, npm.PACKAGES[name].version) for runtime, name in PACKAGES.items()}
        return sample(Browser(self.session, packages), sets, plan, progress)


@final
@dataclass(frozen=True)
class Web:
    """The page prints where it is; whoever opens that first is measured. WebAssembly on the CPU, no WebGPU."""

    device: str = ""
    """Where the page can be had, see `targets.browser.address`: a browser of this machine, usb, lan, an address."""
    samples: int = 0
    """Judge so many samples of the test split; 0 takes all that MOST_CALLS allow."""

    provenance: ClassVar[Literal["measured"]] = "measured"
    optional: ClassVar[bool] = False

    @property
    def judges(self) -> Judges | None:
        """The browser's own answers are judged."""
        return Judges(self.samples) if self.samples else Judges(calls=MOST_CALLS)

    def usable(self) -> str | None:
        """Any machine that has a network can serve a page. UserError for a device that is no address."""
        parse(self.device)
        return None

    @contextlib.contextmanager
    def reach(self, say: Say) -> Iterator[Page]:
        """Serves the page until it is let go of, and waits for somebody to open it."""
        address = parse(self.device)

        def fetching(done: float, total: float, what: str = "") -> None:
            say(f"getting {what}: {done / 1e6:.0f} of {total / 1e6:.0f} MB")

        session = Session()
        app = App(session, npm.prepare(home() / "npm", fetching), address.secure)
        try:
            with serve(address, app) as (origin, fingerprint), _cable(address, origin) as opened:
                _show(address, f"{origin}/{app.token}", fingerprint, opened)
                say("waiting for the page to be opened")
                if not session.wait(WAIT_SECONDS):
                    raise UserError(f"nobody opened the page within {WAIT_SECONDS / 60:.0f} minutes")
                yield Page(session)
                session.close()
        except OSError as error:
            raise UserError(f"--device: cannot listen at {address.host}:{address.port} ({error.strerror or error})") from error


@contextlib.contextmanager
def _cable(address: Address, origin: str) -> Iterator[Callable[[str], bool] | None]:
    """A phone on a cable sees our port as its own, meanwhile; yields what opens an address there."""
    if address.usb is None:
        yield None
        return
    from targets.transport.adb import Adb

    phone = Adb(address.usb)
    phone.connect()
    with phone.reversed(int(origin.rpartition(":")[2])):
        yield lambda url: phone.run(f"am start -a android.intent.action.VIEW -d '{url}'").code == 0


def _show(address: Address, url: str, fingerprint: str, opened: Callable[[str], bool] | None) -> None:
    """To the terminal, beside whatever else a run prints."""
    print(f"\nOpen this page, and keep it in front:\n\n    {url}\n", file=sys.stderr)
    if opened and opened(url):
        print("It was opened on the phone.\n", file=sys.stderr)
    if address.shown:
        import segno

        segno.make(url, error="m").terminal(sys.stderr, compact=True)
    if fingerprint:
        print(f"The browser warns that it does not know this certificate. Its SHA-256 is\n    {fingerprint}", file=sys.stderr)
    if not address.secure and address.host != "127.0.0.1":
        print("Over plain http a browser gives one thread and a coarse clock; https://… gives both.", file=sys.stderr)
