"""Tickets of Piracy Shield, Italy: JSON objects with ``fqdn``, ``ipv4``, ``ipv6``.

The lists ``/v1/fqdn/get/all/txt`` and so on are plain ones. A name in a ticket stands for itself
alone: the platform names hosts, not domains.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

from geodns.orders.feeds.row import FeedFault, Format, Row, json_document

KINDS = ("fqdn", "ipv4", "ipv6")
"""What a ticket lists, and the platform has a list of each."""


def rows(data: bytes) -> Iterator[Row]:
    """A row for each item of each ticket."""
    for number, ticket in enumerate(tickets_of(json_document(data)), 1):
        if not isinstance(ticket, dict) or "ticket_id" not in ticket:
            yield Row(number, _shown(ticket), wrong="unreadable")
            continue
        opened = opened_at(ticket)
        listed: date | None = None if opened is None else opened.date()
        for kind in KINDS:
            found = ticket.get(kind)
            if found and not isinstance(found, list):
                yield Row(number, _shown(found), listed=listed, wrong="unreadable")
                continue
            for item in found or ():
                yield Row(number, value_of(item), "exact", listed)


def tickets_of(found: Any) -> list[Any]:
    """The tickets in what the platform answers. Raises FeedFault where there can be none."""
    if isinstance(found, dict):
        found = found.get("data", [found] if "ticket_id" in found else None)
    if not isinstance(found, list):
        raise FeedFault("it is no list of tickets")
    return found


def value_of(item: Any) -> str:
    """The name or address that an item of a ticket is about, as it stands there."""
    return str(item.get("value", "") if isinstance(item, dict) else item).strip()


def opened_at(ticket: dict[str, Any]) -> datetime | None:
    """When a ticket was opened, aware; None where it does not say."""
    try:
        found = datetime.fromisoformat(str(ticket["metadata"]["created_at"]))
    except (KeyError, TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _shown(found: Any) -> str:
    return json.dumps(found, ensure_ascii=False)[:200]


FORMAT = Format(
    "it-piracy-shield",
    "Piracy Shield tickets (JSON)",
    lambda head: head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{") and b'"ticket_id"' in head,
    rows,
    addresses=True,
)
