"""How an operator names itself in the settings: a name, a web address, whom to ask."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

MAX_LINE = 200
_URI = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+\Z")


def one_line(text: str) -> str:
    """A name, without white space around it. ValueError if it is no line of 1 to 200 characters."""
    if not text.strip() or len(text) > MAX_LINE or not text.isprintable():
        raise ValueError(f"{text[:50]!r} is no name; write one line of at most 200 characters")
    return text.strip()


def web_address(text: str) -> str:
    """An http or https URI in ASCII (RFC 3986), which may stand in a header field; ValueError."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or not _URI.match(text):
        raise ValueError(f"{text!r} is no web address; write https://... in ASCII")
    return text


def contact_address(text: str) -> str:
    """A mailto:, tel: or web URI; ValueError."""
    scheme, _, rest = text.partition(":")
    if scheme.lower() in ("mailto", "tel") and rest and _URI.match(text):
        return text
    if scheme.lower() in ("http", "https"):
        return web_address(text)
    raise ValueError(f"{text!r} is no contact; write mailto:..., tel:... or https://...")
