"""Where the page can be had: the word after --device, and who then can open it.

(nothing)           http://127.0.0.1: a browser of this machine
usb, usb:SERIAL     the same, and a phone on a cable sees it as its own localhost (adb reverse)
lan                 https, on the address that this machine has in its network
http(s)://ADDRESS   on this address
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from pipeline.errors import UserError

LOOPBACK = "127.0.0.1"
ALLOWED = "expected nothing, usb, usb:SERIAL, lan, https://ADDRESS or http://ADDRESS"


@dataclass(frozen=True)
class Address:
    """Where to listen."""

    host: str = LOOPBACK
    port: int = 0
    """0 takes one that is free."""
    secure: bool = False
    """Over https, with a certificate made on the spot."""
    usb: str | None = None
    """The phone's serial number, or "" for the only one; None where no phone is told."""
    shown: bool = False
    """Whether somebody else's camera is to read it."""


def parse(device: str) -> Address:
    """The address that a --device means. UserError for a word that means none."""
    kind, _, rest = device.partition(":")
    if not device:
        return Address()
    if kind == "usb":
        return Address(usb=rest)
    if device == "lan":
        return Address(_own_address(), secure=True, shown=True)
    try:
        parts = urlsplit(device)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.username:
            raise ValueError(ALLOWED)
        host = str(ipaddress.ip_address(parts.hostname))
        return Address(host, parts.port or 0, parts.scheme == "https", shown=True)
    except ValueError as error:
        raise UserError(f"--device: found {device!r}, {ALLOWED}") from error


def _own_address() -> str:
    """Of the network interface that leads outside. Choosing it sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address that documentation is given, RFC 5737
        except OSError as error:
            raise UserError("--device: lan, but this machine is in no network; say the address, https://ADDRESS") from error
        return str(probe.getsockname()[0])
