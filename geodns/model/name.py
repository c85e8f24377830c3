"""Domain names as geodns compares them: folded wire format.

A name in this project is ``bytes``: the uncompressed wire format of RFC 1035 section 3.1
with ASCII letters folded to lower case (RFC 4343), for example
``b"\\x07example\\x03org\\x00"``. Comparing such bytes label by label is exact whatever
octets a label holds, which text (with its escaped dots) is not.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import idna

ROOT = b"\x00"
MAX_WIRE = 255
MAX_LABEL = 63
MAX_QUOTED = 100
"""Characters of a bad text that a message quotes."""

_LDH_UNDERSCORE = re.compile(r"[a-z0-9_-]+\Z")
_ESCAPE = frozenset(b'."\\();@$')


class NameFault(ValueError):
    """A text that is no domain name; its message quotes the text and says why."""


def fold(wire: bytes) -> bytes:
    """Fold the ASCII letters of a wire-format name to lower case.

    Length octets are at most 63 and so are never letters.
    """
    return wire.lower()


def parse(text: str) -> bytes:
    """Read a domain name as people write it in order files and on command lines.

    Takes ASCII labels (letters, digits, ``-`` and ``_``) and IDNA 2008 / UTS 46 labels in
    Unicode; upper case and one trailing dot are folded away. Returns the folded wire
    format. Raises NameFault for anything else: URLs, addresses, wildcards, empty labels,
    labels over 63 octets and names over 255 octets (RFC 1035 section 2.3.4).
    """
    quoted = repr(text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 3] + "...")
    stripped = text.strip()
    if not stripped:
        raise NameFault("empty name")
    if "/" in stripped:
        raise NameFault(f"{quoted} is a URL or has a path, not a domain name; give the name only")
    if _is_address(stripped):
        raise NameFault(f"{quoted} is an IP address, not a domain name; use targets.networks")
    if "*" in stripped:
        raise NameFault(f"{quoted} has a wildcard; use targets.domains or targets.below")
    if re.search(r":[0-9]+\Z", stripped):
        raise NameFault(f"{quoted} has a port, so it is no domain name; give the name only")
    if any(ch.isspace() for ch in stripped):
        raise NameFault(f"{quoted} holds white space, so it is no domain name")
    ascii_text = stripped if stripped.isascii() else _to_ascii(stripped, quoted)
    folded = ascii_text.lower().removesuffix(".")
    if not folded:
        raise NameFault(f"{quoted} is the root, which no order can name")
    labels = folded.split(".")
    for label in labels:
        if not label:
            raise NameFault(f"{quoted} has an empty label")
        if len(label) > MAX_LABEL:
            raise NameFault(f"{quoted} has a label over {MAX_LABEL} octets")
        if not _LDH_UNDERSCORE.match(label):
            raise NameFault(f"{quoted} has the label {label!r}, which is no host or service label")
        if label.startswith("xn--"):
            _check_a_label(label, quoted)
    if labels[-1].isdigit():
        raise NameFault(f"{quoted} ends in a number: it is neither a domain name nor an address")
    wire = b"".join(bytes((len(label),)) + label.encode("ascii") for label in labels) + ROOT
    if len(wire) > MAX_WIRE:
        raise NameFault(f"{quoted} is over {MAX_WIRE} octets long")
    return wire


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _to_ascii(text: str, quoted: str) -> str:
    # Label by label: IDNA knows no underscore, and the ASCII labels of a name may hold one.
    try:
        mapped = idna.uts46_remap(text, std3_rules=False, transitional=False)
        parts = [
            part if part.isascii() else idna.alabel(part).decode("ascii")
            for part in mapped.split(".")
        ]
    except (idna.IDNAError, UnicodeError) as error:
        raise NameFault(f"{quoted} is no valid internationalised name: {error}") from None
    return ".".join(parts)


def _check_a_label(label: str, quoted: str) -> None:
    try:
        label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        raise NameFault(f"{quoted} has the label {label!r}, which is no valid punycode") from None


def from_labels(labels: list[bytes] | tuple[bytes, ...]) -> bytes:
    """Join raw labels (1 to 63 octets each) to a folded wire-format name."""
    return b"".join(bytes((len(label),)) + label for label in labels).lower() + ROOT


def labels(wire: bytes) -> tuple[bytes, ...]:
    """Split a wire-format name into its labels, without the root."""
    found: list[bytes] = []
    at = 0
    while (size := wire[at]) != 0:
        found.append(wire[at + 1 : at + 1 + size])
        at += 1 + size
    return tuple(found)


def ancestors(wire: bytes) -> Iterator[bytes]:
    """Yield the name itself, then each name above it, longest first, without the root."""
    at = 0
    while (size := wire[at]) != 0:
        yield wire[at:]
        at += 1 + size


def is_at_or_below(wire: bytes, above: bytes) -> bool:
    """Whether ``wire`` equals ``above`` or lies below it, compared label by label."""
    return any(suffix == above for suffix in ancestors(wire)) or above == ROOT


def to_text(wire: bytes) -> str:
    """Presentation format (RFC 4343 section 2.1), without the trailing dot; root is ``.``."""
    if wire == ROOT:
        return "."
    return ".".join("".join(_escape(octet) for octet in label) for label in labels(wire))


def _escape(octet: int) -> str:
    if octet in _ESCAPE:
        return "\\" + chr(octet)
    if 0x21 <= octet <= 0x7E:
        return chr(octet)
    return f"\\{octet:03d}"


def unicode_of(text: str) -> str | None:
    """The Unicode form (IDNA 2008) of a name in presentation format, where it is another."""
    if "xn--" not in text:
        return None
    found = text.split(".")
    for at, label in enumerate(found):
        if label.startswith("xn--"):
            try:
                found[at] = idna.ulabel(label)
            except (idna.IDNAError, UnicodeError):
                continue  # an order may name what no registry would take
    shown = ".".join(found)
    return shown if shown != text else None
