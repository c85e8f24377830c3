"""Hosts files (hosts(5)): an address and the names that get it. A name stands for itself alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from geodns.orders.feeds.row import Format, Row, head_lines, mostly, text_lines

_LINE = re.compile(rb"(0\.0\.0\.0|127\.\d+\.\d+\.\d+|::1?|[0-9a-fA-F.:]{3,45})[ \t]+\S")
_OWN = frozenset(
    (
        *("localhost", "localhost.localdomain", "local", "broadcasthost", "0.0.0.0"),
        *("ip6-localhost", "ip6-loopback", "ip6-localnet", "ip6-mcastprefix", "ip6-allnodes"),
        *("ip6-allrouters", "ip6-allhosts"),
    )
)


def rows(data: bytes) -> Iterator[Row]:
    """A row for each name; the entries that every hosts file has for the host itself are not."""
    for number, line in text_lines(data):
        fields = line.partition("#")[0].split()
        if len(fields) == 1:
            yield Row(number, fields[0], "exact", wrong="unreadable")
        for name in fields[1:]:
            if name.lower() not in _OWN:
                yield Row(number, name, "exact")


def _looks(head: bytes) -> bool:
    return mostly(head_lines(head), _LINE.match)


FORMAT = Format("hosts", "hosts file: address and names", _looks, rows)
