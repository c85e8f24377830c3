"""RouterOS scripts: address lists, and static names that lead nowhere.

/ip firewall address-list
add address=192.0.2.7 list=blocked
/ip dns static
add name=example.org address=127.0.0.1 match-subdomain=yes
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from geodns.orders.feeds.row import Format, Row, text_lines

_FIELD = re.compile(r'([a-z-]+)=("[^"]*"|\S+)')


def rows(data: bytes) -> Iterator[Row]:
    """A row for each ``add``; a static name stands for itself, unless it matches what is below."""
    menu = ""
    for number, line in text_lines(data):
        if line[0] == "#":
            continue
        if line[0] == "/":
            menu, _, line = line.partition(" add ")
            if not line:
                continue
        fields = {key: value.strip('"') for key, value in _FIELD.findall(line)}
        if "dns static" in menu and "name" in fields:
            below = fields.get("match-subdomain") == "yes"
            yield Row(number, fields["name"], "domain" if below else "exact")
        elif "address-list" in menu and "address" in fields:
            yield Row(number, fields["address"])
        else:
            yield Row(number, line, wrong="wrong type")


def _looks(head: bytes) -> bool:
    return bool(re.search(rb"(?m)^/(ip|ipv6)[ /](firewall|dns)", head))


FORMAT = Format("mikrotik", "RouterOS address lists and static names", _looks, rows, addresses=True)
