"""Orders of Ukrainian authorities, gathered in a JSON object: what is blocked, and lifted again.

``orders`` (of the NCU) holds objects with ``number`` (ends in a running number), ``action``
(``block``, ``block_ip``, ``sanctions``, ``unblock``), ``date`` and ``attachments`` with ``lines``.
They are applied in the order of their numbers: an entry lifted by a later order is deleted from
then on, and listed anew by a still later one. ``decisions`` (of PlayCity) holds objects with
``action``, ``sites`` and a date, in the order in which they were taken.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import date
from typing import Any
from zlib import error as ZlibError

from geodns.orders.feeds.row import FeedFault, Format, Row, json_document

_BLOCKS = frozenset(("block", "block_ip", "sanctions"))
_DATES = ("date", "playcity_date", "nkek_decision_date", "first_seen_in_mirror")


def rows(data: bytes) -> Iterator[Row]:
    """A row for each entry ever ordered, as the last order that names it leaves it.

    An order without a date has that of the day it was first seen. An entry that is lifted and was
    never ordered is a row of the wrong type: nothing is to be done.
    """
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, ZlibError) as error:
            raise FeedFault(f"it cannot be unpacked: {error}") from None
    found = json_document(data)
    if not isinstance(found, dict) or not isinstance(
        orders := found.get("orders", found.get("decisions")), list
    ):
        raise FeedFault("it has no list of 'orders' or 'decisions'")
    if not all(isinstance(order, dict) for order in orders):
        raise FeedFault("not all of its orders are objects")
    standing: dict[str, Row] = {}
    strays: list[Row] = []
    numbered = [(_running(order, count), order) for count, order in enumerate(orders, 1)]
    for number, order in sorted(numbered, key=lambda pair: pair[0]):
        action, day = str(order.get("action")), _day(order)
        for line in _lines(order):
            key = _same(line)
            before = standing.get(key)
            if action not in _BLOCKS and action != "unblock":
                # An order whose purpose nobody could read neither blocks nor lifts.
                strays.append(Row(number, f"{action}: {line}", listed=day, wrong="wrong type"))
            elif action != "unblock":
                if before is None or before.deleted is not None:
                    standing[key] = Row(number, line, "domain", day)
            elif before is None:
                strays.append(Row(number, line, listed=day, wrong="wrong type"))
            else:
                # Where nobody knows the day, it is lifted all the same.
                standing[key] = before._replace(deleted=day or date.min)
    yield from standing.values()
    yield from strays


def _lines(order: dict[str, Any]) -> Iterator[str]:
    attachments = _listed(order.get("attachments"))
    lists = [each.get("lines") if isinstance(each, dict) else each for each in attachments]
    for lines in (*lists, order.get("sites")):
        for line in _listed(lines):
            text = str(line).strip().strip("\ufeff")
            if text and not text.startswith("#"):
                yield text


def _listed(found: Any) -> list[Any]:
    """A list as it is; of anything else one, so that what cannot be read is a row and rejected."""
    return found if isinstance(found, list) else [] if found is None else [found]


def _same(line: str) -> str:
    """What two orders that mean the same entry have in common."""
    text = line.lower().removeprefix("https://").removeprefix("http://")
    return text.rstrip("/").rstrip(".")


def _running(order: dict[str, Any], count: int) -> int:
    """The running number of an order; of decisions, which have none, their place in the list."""
    if "number" not in order:
        return count
    digits = str(order["number"]).rpartition("/")[2]
    if not digits.isdecimal() or len(digits) > 9:
        raise FeedFault(f"order {order.get('number')!r} has no running number")
    return int(digits)


def _day(order: dict[str, Any]) -> date | None:
    for key in _DATES:
        try:
            return date.fromisoformat(str(order.get(key))[:10])
        except ValueError:
            continue
    return None


FORMAT = Format(
    "ua-orders",
    "orders of Ukraine's NCU and PlayCity as JSON: blocking and lifting",
    lambda head: (
        (b'"orders"' in head and b"NCU" in head) or (b'"decisions"' in head and b"PlayCity" in head)
    ),
    rows,
    addresses=True,
)
