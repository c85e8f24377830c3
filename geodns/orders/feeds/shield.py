"""Tickets of Piracy Shield, Italy: JSON objects with ``fqdn``, ``ipv4``, ``ipv6``.

The lists ``/v1/fqdn/get/all/txt`` and so on are plain ones. A name in a ticket stands for itself
alone: the platform names hosts, not domains.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from geodns.orders.feeds.row import FeedFault, Format, Row, json_document


def rows(data: bytes) -> Iterator[Row]:
    """A row for each item of each ticket."""
    found = json_document(data)
    if isinstance(found, dict):
        found = found.get("data", [found] if "ticket_id" in found else None)
    if not isinstance(found, list):
        raise FeedFault("it is no list of tickets")
    for number, ticket in enumerate(found, 1):
        if not isinstance(ticket, dict) or "ticket_id" not in ticket:
            yield Row(number, json.dumps(ticket, ensure_ascii=False)[:200], wrong="unreadable")
            continue
        listed = _day(ticket.get("metadata"))
        for key in ("fqdn", "ipv4", "ipv6"):
            for item in ticket.get(key) or ():
                text = item.get("value", "") if isinstance(item, dict) else str(item)
                yield Row(number, text, "exact", listed)


def _day(metadata: Any) -> date | None:
    try:
        return datetime.fromisoformat(str(metadata["created_at"])).date()
    except (KeyError, TypeError, ValueError):
        return None


FORMAT = Format(
    "it-piracy-shield",
    "Piracy Shield tickets (JSON)",
    lambda head: head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{") and b'"ticket_id"' in head,
    rows,
    addresses=True,
)
