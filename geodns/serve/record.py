"""What one reload did: which orders began, changed or ended, in words for the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from geodns.orders.events import end_at, status_at

if TYPE_CHECKING:
    from geodns.orders.loaded import LoadedOrder
    from geodns.policy.snapshot import OrderRecord

MOST = 20
"""Names or lines that the log gives at once; of the others it gives the number."""


@dataclass(frozen=True, slots=True)
class Edition:
    """One order in force: its edition, and whether that stands in for a faulty file."""

    edition: str
    shadow: bool
    last_good: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """How what is in force differs from before.

    began, changed: ids. ended: id and why. fell_back: ids that are used by their last good
    edition now, and were not before. repaired: ids whose file is good again.
    """

    began: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    ended: tuple[tuple[str, str], ...] = ()
    fell_back: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line; empty if nothing changed."""
        parts = (
            ("in force", self.began),
            ("changed", self.changed),
            ("out of force", tuple(f"{ident} ({why})" for ident, why in self.ended)),
            ("fell back to its last good edition", self.fell_back),
            ("good again", self.repaired),
        )
        return "; ".join(f"{what}: {listed(names)}" for what, names in parts if names)


@dataclass(frozen=True, slots=True)
class Record:
    """One reload. at: epoch seconds when it was done; took: seconds since it was begun.

    trigger: ``start``, ``files``, ``clock`` or ``SIGHUP``. parsed: order files parsed.
    changed: whether anything new was put in force. everywhere: whether every worker has it.
    """

    at: float
    took: float
    trigger: str
    parsed: int
    changed: bool
    everywhere: bool
    changes: Changes = field(default=Changes())


def editions(in_force: Iterable[OrderRecord], orders: Iterable[LoadedOrder]) -> dict[str, Edition]:
    """What is in force by id; ``orders`` know which files are faulty now."""
    last_good = {loaded.order.id for loaded in orders if loaded.last_good}
    return {
        order.id: Edition(order.edition, order.shadow, order.id in last_good) for order in in_force
    }


def compare(
    before: Mapping[str, Edition],
    after: Mapping[str, Edition],
    orders: Iterable[LoadedOrder],
    now: float,
) -> Changes:
    """What changed from ``before`` to ``after``; orders: all that are loaded now."""
    gone = before.keys() - after.keys()
    known = {loaded.order.id: loaded for loaded in orders if loaded.order.id in gone}
    both = [(ident, before[ident], after[ident]) for ident in sorted(before.keys() & after.keys())]
    return Changes(
        tuple(sorted(after.keys() - before.keys())),
        tuple(
            ident
            for ident, old, new in both
            if (old.edition, old.shadow) != (new.edition, new.shadow)
        ),
        tuple((ident, why_ended(known.get(ident), now)) for ident in sorted(gone)),
        tuple(ident for ident, old, new in both if new.last_good and not old.last_good),
        tuple(ident for ident, old, new in both if old.last_good and not new.last_good),
    )


def why_ended(loaded: LoadedOrder | None, now: float) -> str:
    """Why an order is in force no more; ``loaded`` is what is loaded of it now."""
    if loaded is None:
        return "removed"
    instant = datetime.fromtimestamp(now, UTC)
    status, end = status_at(loaded, instant), end_at(loaded, instant)
    if status not in ("active", "shadow"):
        return status
    if end is not None and end <= instant:
        return "expired"
    if loaded.effective.timestamp() > now:
        return f"begins {loaded.effective.isoformat()}"
    return "superseded"


def listed(names: Sequence[str]) -> str:
    """Names in one line, however many there are."""
    rest = len(names) - MOST
    return ", ".join(names[:MOST]) + (f", and {rest} more" if rest > 0 else "")


def counted(number: int, what: str) -> str:
    """A number with its noun: ``1 order``, ``2 orders``."""
    return f"{number} {what}{'s' * (number != 1)}"
