"""One domain name, URL or address a line: what most authorities publish.

Comments begin with ``#``, ``!`` or ``;``. ADM's and AGCOM's annexes begin with a header such as
``0000311_2024.06.06``, Gespa's with ``#`` lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from geodns.orders.feeds.row import Format, Row, head_lines, mostly, text_lines

_HEADER = re.compile(r"\d+_\d{4}\.\d{1,2}\.\d{1,2}\Z")
_HEADER_OCTETS = re.compile(rb"\d+_\d{4}\.\d{1,2}\.\d{1,2}\Z")
_ADDRESS = re.compile(rb"[0-9a-fA-F.:]+(/\d{1,3})?\Z")
_ONE_WORD = re.compile(rb"[^\s,;|<>{}]+\Z")


def rows(data: bytes) -> Iterator[Row]:
    """The rows of a list with one entry a line; what follows a blank and ``#`` is a comment."""
    first = True
    for number, line in text_lines(data):
        if line[0] in "#!;":
            continue
        if first and _HEADER.match(line):
            first = False
            continue
        first = False
        yield Row(number, line.partition(" #")[0].rstrip())


def _looks_annexed(head: bytes) -> bool:
    lines = head_lines(head)
    return bool(lines) and _HEADER_OCTETS.match(lines[0]) is not None


def _looks_like_addresses(head: bytes) -> bool:
    return mostly(
        head_lines(head), lambda line: _ADDRESS.match(line) and (b"." in line or b":" in line)
    )


def _looks_plain(head: bytes) -> bool:
    return mostly(head_lines(head), lambda line: _ONE_WORD.match(line.partition(b" #")[0].rstrip()))


ANNEX = Format(
    "agcom-annex",
    "AGCOM and ADM annexes, Italy: a header with number and date, then names, URLs, addresses",
    _looks_annexed,
    rows,
    addresses=True,
)
ADDRESSES = Format("ip-list", "one address or CIDR block a line", _looks_like_addresses, rows, True)
PLAIN = Format("plain", "one name or URL a line, # comments", _looks_plain, rows)
