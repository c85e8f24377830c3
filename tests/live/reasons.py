"""Why geodns answers some packets that are wrong on purpose otherwise than BIND does."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Look:
    """What stands in a packet, as far as it can be read.

    rest: octets behind the question. kinds: types of the records there. options: EDNS options.
    """

    opcode: int = 0
    counts: tuple[int, ...] = ()
    pointer: bool = False
    kind: int | None = None
    klass: int | None = None
    kinds: list[int] = field(default_factory=list)
    version: int = 0
    options: list[int] = field(default_factory=list)
    broken: bool = False
    left: int = 0


def look(packet: bytes) -> Look:
    """Look into a packet."""
    seen = Look()
    try:
        _look(packet, seen)
    except (IndexError, struct.error):
        seen.broken = True
    return seen


def _look(packet: bytes, seen: Look) -> None:
    _, flags, *counts = struct.unpack_from("!6H", packet)
    seen.opcode, seen.counts = flags >> 11 & 15, tuple(counts)
    at = 12
    if counts[0]:
        at = _skip(packet, at, seen)
        seen.kind, seen.klass = struct.unpack_from("!HH", packet, at)
        at += 4
    for _ in range(sum(counts[1:])):
        at = _skip(packet, at)
        kind, _, ttl, length = struct.unpack_from("!HHIH", packet, at)
        at += 10
        seen.kinds.append(kind)
        if kind == 41:
            seen.version = ttl >> 16 & 255
            end = at + length
            here = at
            while here < end:
                code, size = struct.unpack_from("!HH", packet, here)
                here += 4 + size
                seen.options.append(code)
            seen.broken = seen.broken or here != end or end > len(packet)
        at += length
    seen.left = len(packet) - at


def _skip(packet: bytes, at: int, seen: Look | None = None) -> int:
    while packet[at]:
        if packet[at] >= 64:
            if seen is not None:
                seen.pointer = True
            return at + 2
        at += 1 + packet[at]
    return at + 1


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason in words, and whether it holds for a packet and the two replies."""

    words: str
    holds: Callable[[Look, str, str], bool]


REASONS = (
    Reason(
        "an operation that is not implemented is NOTIMP, whatever stands behind the header",
        lambda seen, ours, theirs: (
            seen.opcode not in (0, 4, 5)
            and ours == "NOTIMP"
            and theirs == "FORMERR"
            and seen.broken
        ),
    ),
    Reason(
        "NOTIFY and UPDATE are operations that BIND knows and looks into; here they are not "
        "implemented, like all but QUERY (RFC 1035 4.1.1)",
        lambda seen, ours, theirs: seen.opcode in (4, 5) and ours.startswith("NOTIMP"),
    ),
    Reason(
        "a question with compression, or with a strange label, is a format error at once "
        "(RFC 1035 4.1.4); BIND may follow the pointer into the header",
        lambda seen, ours, theirs: seen.pointer and ours.startswith("FORMERR"),
    ),
    Reason(
        "classes other than IN and CH are REFUSED, whether or not they have a name",
        lambda seen, ours, theirs: seen.klass not in (None, 1, 3) and ours.startswith("REFUSED"),
    ),
    Reason(
        "AXFR and IXFR are REFUSED (RFC 5936 2.2); BIND says NOTAUTH",
        lambda seen, ours, theirs: seen.kind in (251, 252) and ours.startswith("REFUSED"),
    ),
    Reason(
        "types that are no data (0, 41, 128 to 250, 253, 254) are NOTIMP; BIND says FORMERR, "
        "or asks its upstream for type 0",
        lambda seen, ours, theirs: (
            ours.startswith("NOTIMP")
            and seen.kind is not None
            and (seen.kind in (0, 41, 253, 254) or 128 <= seen.kind <= 250)
        ),
    ),
    Reason(
        "a version above 0 is BADVERS whatever its options hold (RFC 6891 6.1.3)",
        lambda seen, ours, theirs: seen.version > 0 and ours == "BADVERS OPT",
    ),
    Reason(
        "records in the answer or authority section of a query are a format error",
        lambda seen, ours, theirs: any(seen.counts[1:3]) and ours.startswith("FORMERR"),
    ),
    Reason(
        "octets behind the message are a format error",
        lambda seen, ours, theirs: seen.left > 0 and ours.startswith("FORMERR"),
    ),
    Reason(
        "two Client Subnet options are a format error; BIND takes one of them",
        lambda seen, ours, theirs: seen.options.count(8) > 1 and ours.startswith("FORMERR"),
    ),
    Reason(
        "both say FORMERR; here with an OPT, since the query had one (RFC 6891 6.1.1)",
        lambda seen, ours, theirs: (
            {ours, theirs} == {"FORMERR OPT", "FORMERR"} and 41 in seen.kinds
        ),
    ),
    Reason(
        "an option that geodns has no use for is not looked into (RFC 6891 6.1.2); BIND reads "
        "LLQ, EXPIRE, key and client tags and EDE, and minds their length",
        lambda seen, ours, theirs: (
            theirs == "FORMERR OPT" and not set(seen.options).isdisjoint((1, 9, 14, 15, 16, 17))
        ),
    ),
    Reason(
        "records beside the OPT are passed over, whatever they hold; BIND reads TSIG, SIG(0) and "
        "known types",
        lambda seen, ours, theirs: (
            bool(set(seen.kinds) - {41}) and not seen.broken and theirs.startswith("FORMERR")
        ),
    ),
)


def reason(packet: bytes, ours: str, theirs: str) -> str | None:
    """The reason for a difference in words, or None if there is none."""
    seen = look(packet)
    return next((each.words for each in REASONS if each.holds(seen, ours, theirs)), None)
