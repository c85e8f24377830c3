"""What somebody must look at: deadlines, reviews and ends of orders, by their dates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from geodns.orders.events import end_at, status_at
from geodns.orders.loaded import LoadedOrder

What = Literal["deadline", "review", "expires", "event"]
State = Literal["met", "missed", "coming", "due", "overdue"]
WITHIN = timedelta(days=30)
"""How far ahead is looked if nobody says otherwise."""
_NONE: Mapping[str, datetime] = {}


@dataclass(frozen=True, slots=True)
class Due:
    """One date of an order. at: aware. told: one line for people.

    state: ``met`` and ``coming`` need nobody; ``missed``, ``due`` and ``overdue`` do.
    """

    order: str
    title: str
    what: What
    state: State
    at: datetime
    told: str

    @property
    def wanted(self) -> bool:
        """Whether somebody must do something."""
        return self.state in ("missed", "due", "overdue")

    def as_json(self) -> dict[str, object]:
        """The row as a JSON-ready mapping."""
        return {
            "order": self.order,
            "title": self.title,
            "what": self.what,
            "state": self.state,
            "at": self.at.isoformat(),
            "told": self.told,
            "wanted": self.wanted,
        }


def due(
    orders: Iterable[LoadedOrder],
    now: datetime,
    within: timedelta = WITHIN,
    enforced: Mapping[str, datetime] = _NONE,
) -> list[Due]:
    """What is due at ``now`` (aware) or comes due within a time, the earliest first.

    A deadline that is met is told for as long after it as others are told before. enforced: when
    orders (by id) were first in force on all workers, as the ledger has it; for those that are not
    in it their dates speak.
    """
    rows = [row for loaded in orders for row in _of(loaded, now, within, enforced)]
    return sorted(rows, key=lambda row: (row.at, row.order))


def _of(
    loaded: LoadedOrder, now: datetime, within: timedelta, enforced: Mapping[str, datetime]
) -> Iterator[Due]:
    status, end = status_at(loaded, now), end_at(loaded, now)
    if status == "lifted" or (end is not None and end <= now):
        return
    soon = now + within

    def row(what: What, state: State, at: datetime, told: str) -> Due:
        return Due(loaded.order.id, loaded.order.title, what, state, at, told)

    yield from _deadline(loaded, status, now, within, enforced.get(loaded.order.id))
    review = loaded.review
    if review is not None and review <= soon:
        late = review <= now
        told = "a review was due" if late else "a review is due"
        yield row("review", "overdue" if late else "due", review, told)
    if end is not None and end <= soon and status != "draft":
        yield row("expires", "due", end, "expires: is it to be renewed?")
    for event in loaded.events:
        if now < event.at <= soon:
            told = event.kind + (f": {event.reason}" if event.reason else "")
            yield row("event", "coming", event.at, told)


def _deadline(
    loaded: LoadedOrder,
    status: str,
    now: datetime,
    within: timedelta,
    enforced: datetime | None,
) -> Iterator[Due]:
    at = loaded.deadline
    if at is None or at > now + within:
        return

    def row(state: State, told: str) -> Due:
        return Due(loaded.order.id, loaded.order.title, "deadline", state, at, told)

    if status == "suspended":
        return
    why = None
    if loaded.waiting:
        why = "too few people have approved it (geodns orders check)"
    elif status != "active":
        why = f"its status is {status}"
    elif loaded.held:
        why = f"{len(loaded.held)} of its targets are held (geodns orders check)"
    elif enforced is not None and enforced > at:
        why = f"it was in force from {enforced.isoformat(timespec='seconds')} by the ledger"
    elif enforced is None and loaded.effective > at:
        why = f"it has force only from {loaded.effective.isoformat()}"
    if why is not None:
        yield row("missed" if at <= now else "due", why)
    elif at > now:
        yield row("coming", "in force already" if loaded.effective <= now else "in force by then")
    elif now - at <= within:
        by, begun = (
            ("its dates", loaded.effective) if enforced is None else ("the ledger", enforced)
        )
        yield row("met", f"in force from {begun.isoformat(timespec='seconds')} by {by}")
