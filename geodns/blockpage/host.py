"""Which name an HTTP request is for: the Host field, or the authority of an absolute target."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from geodns.model import name

MAX_HOST = 300
"""Characters of a Host field that are looked at: a name of 255 octets and a port fit."""
_PORT = re.compile(r":([0-9]*)\Z")


class HostFault(ValueError):
    """A text that is no host with an optional port (RFC 3986 section 3.2)."""


@dataclass(frozen=True, slots=True)
class Host:
    """Whom a request is for.

    name: the folded wire-format name, None for an IP literal. ascii: as it is looked up.
    shown: as people read it, in Unicode.
    """

    name: bytes | None
    ascii: str
    shown: str


def read_host(text: str) -> Host:
    """Read ``example.org``, ``example.org:8080``, ``192.0.2.1`` or ``[2001:db8::1]:80``.

    A-labels and raw UTF-8 are taken alike, a trailing dot is dropped. Raises HostFault for
    anything else: user names, paths, bad ports, what is no name.
    """
    if not text or len(text) > MAX_HOST:
        raise HostFault("no host, or one that is too long")
    if port := _PORT.search(text):
        if port[1] and (len(port[1]) > 5 or int(port[1]) > 65535):
            raise HostFault("the port is none")
        text = text[: port.start()]
    address = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if "%" in text:
        raise HostFault("a percent sign: no name has one, and zones mean nothing here")
    try:
        literal = ipaddress.ip_address(address)
    except ValueError:
        pass
    else:
        if (literal.version == 6) != text.startswith("["):
            raise HostFault("IPv6 addresses, and no others, stand in brackets")
        return Host(None, text, text)
    try:
        wire = name.parse(text)
    except ValueError:
        raise HostFault("no domain name") from None
    found = name.to_text(wire)
    return Host(wire, found, name.unicode_of(found) or found)
