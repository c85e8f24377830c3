"""Measured CUII lists, Germany: a JSON object with ``list`` of ``domain``, ``first_blocked_on``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

from geodns.orders.feeds.row import FeedFault, Format, Row, json_document


def rows(data: bytes) -> Iterator[Row]:
    """A row for each object of the list."""
    found = json_document(data)
    items = found.get("list") if isinstance(found, dict) else None
    if not isinstance(items, list):
        raise FeedFault("it has no 'list'")
    for number, item in enumerate(items, 1):
        name = item.get("domain") if isinstance(item, dict) else None
        if not isinstance(name, str) or not name.strip():
            yield Row(number, json.dumps(item, ensure_ascii=False), wrong="unreadable")
            continue
        try:
            listed = date.fromisoformat(str(item.get("first_blocked_on")))
        except ValueError:
            listed = None
        yield Row(number, name.strip(), "domain", listed)


FORMAT = Format(
    "de-cuii",
    "CUII list as JSON",
    lambda head: (
        head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        and b'"list"' in head
        and b'"domain"' in head
    ),
    rows,
)
