"""Response policy zones (draft-vixie-dnsop-dns-rpz): QNAME triggers that block.

``NAME CNAME .`` is the name alone, ``*.NAME CNAME .`` what is below it. Other triggers (client and
response addresses, name servers) and other actions (passthru, local data) are no targets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from geodns.orders.feeds.row import FeedFault, Format, Row, decoded

_RECORD = re.compile(
    r"(?P<owner>\S+)?\s+(?:(?:\d+[smhdw]?)\s+)*(?:IN\s+)?(?:(?:\d+[smhdw]?)\s+)*"
    r"(?P<type>[A-Z][A-Z0-9]*)\s+(?P<data>.*)\Z",
    re.IGNORECASE,
)
_TRIGGERS = (".rpz-ip", ".rpz-client-ip", ".rpz-nsip", ".rpz-nsdname")
_BLOCKS = frozenset((".", "*.", "rpz-drop.", "rpz-tcp-only."))
_APEX = frozenset(("SOA", "NS"))


def rows(data: bytes) -> Iterator[Row]:
    """A row for each policy record of the zone; SOA and NS of its apex are none."""
    origin, owner = "", ""
    for number, line in _joined(decoded(data)):
        if line.startswith("$"):
            directive, _, rest = line.partition(" ")
            if directive.upper() == "$ORIGIN":
                origin = rest.strip().lower().rstrip(".")
            elif directive.upper() != "$TTL":
                raise FeedFault(f"line {number}: {directive} is not read; give the whole zone")
            continue
        found = _RECORD.match(line)
        if found is None:
            yield Row(number, line.strip(), wrong="unreadable")
            continue
        owner = found["owner"] or owner
        if found["type"].upper() in _APEX:
            if not origin and owner not in ("@", "") and owner.endswith("."):
                origin = owner.lower().rstrip(".")
            continue
        yield _row(number, _relative(owner, origin), found["type"].upper(), found["data"].strip())


def _row(number: int, name: str, type_: str, data: str) -> Row:
    if name.lower().endswith(_TRIGGERS) or type_ != "CNAME" or data.lower() not in _BLOCKS:
        return Row(number, f"{name} {type_} {data}", wrong="wrong type")
    if name.startswith("*."):
        return Row(number, name[2:], "below")
    return Row(number, name, "exact")


def _relative(owner: str, origin: str) -> str:
    """The trigger: the owner name without the zone's own name."""
    if not owner.endswith("."):
        return owner
    name = owner[:-1]
    return name[: -len(origin) - 1] if origin and name.lower().endswith(f".{origin}") else name


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, those in parentheses as one (RFC 1035 section 5.1)."""
    begun, parts, depth = 0, [], 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.partition(";")[0].rstrip()
        if not line.strip():
            continue
        begun = begun or number
        depth += line.count("(") - line.count(")")
        parts.append(line)
        if depth <= 0:
            yield begun, " ".join(parts).replace("(", " ").replace(")", " ")
            begun, parts, depth = 0, [], 0
    if parts:
        raise FeedFault(f"line {begun}: a parenthesis is not closed")


def _looks(head: bytes) -> bool:
    text = head.decode("utf-8", "replace")
    return bool(re.search(r"(?im)^\S*\s+(?:\d+\s+)?(?:IN\s+)?SOA\s", text)) or bool(
        re.search(r"(?im)^\S+\s+(?:\d+\s+)?(?:IN\s+)?CNAME\s+(?:\.|\*\.|rpz-\w+\.)\s*$", text)
    )


FORMAT = Format("rpz", "response policy zone file", _looks, rows)
