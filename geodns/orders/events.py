"""What happens to an order at an instant: its events resolved, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timezone
from zoneinfo import ZoneInfo

from geodns.model.name import ancestors
from geodns.orders.loaded import Dated, LoadedOrder, Network
from geodns.orders.schema import Event, Status
from geodns.orders.targets import read_target

_Fault = tuple[int, tuple[str | int, ...], str]


def read_events(
    events: Sequence[Event], zone: ZoneInfo, status: str, instants: Mapping[str, datetime]
) -> tuple[tuple[Dated, ...], list[_Fault]]:
    """Resolve the events of an order, in the order of time; and what is wrong with them.

    status: the order's. instants: its dates. A fault is (index of the event, path in it, message).
    """
    faults: list[_Fault] = []
    found: list[tuple[int, Dated]] = []
    for index, event in enumerate(events):
        targets: set[bytes | Network] = set()
        for at, text in enumerate(event.targets):
            try:
                targets.add(read_target(text))
            except ValueError as error:
                faults.append((index, ("targets", at), str(error)))
        end = None if event.end is None else instant(event.end, zone)
        when = instant(event.at, zone)
        dated = Dated(event.kind, when, frozenset(targets), end, event.reason or "")
        found.append((index, dated))
    found.sort(key=lambda each: each[1].at)
    faults += _misfits(found, status, instants.get("effective"))
    return tuple(dated for _, dated in found), faults


def _misfits(
    events: Iterable[tuple[int, Dated]], status: str, effective: datetime | None
) -> Iterator[_Fault]:
    """Events that cannot happen to the order as it is then."""
    if status == "lifted":
        for index, _ in events:
            told = "status is what holds before the first event: of a lifted order none can come"
            yield index, (), told
        return
    suspended, lifted = status == "suspended", False
    for index, event in events:
        if lifted:
            yield index, (), "comes after the order was lifted; a new order takes a new file"
        elif event.kind == "suspend" and suspended:
            yield index, (), "the order is suspended already"
        elif event.kind == "resume" and not suspended:
            yield index, (), "the order is not suspended then"
        if event.kind in ("suspend", "resume"):
            suspended = event.kind == "suspend"
        lifted = lifted or event.kind == "lift"
        if event.end is not None and effective is not None and event.end <= effective:
            told = f"{event.end.isoformat()} is not after effective, {effective.isoformat()}"
            yield index, ("end",), told


def settle(
    events: Iterable[Dated],
    suffixes: Sequence[Iterable[bytes]],
    exact: Iterable[bytes],
    rest: Iterable[Network],
) -> tuple[Dated, ...]:
    """Find which lifted targets are in the lists, below one that is, or neither.

    suffixes: the order's domains and below. exact, rest: its exact names and networks.
    """
    dated = tuple(events)
    lifted = frozenset().union(*(event.targets for event in dated))
    names = [target for target in lifted if isinstance(target, bytes)]
    wanted = {above for name in names for above in ancestors(name)}
    held = frozenset().union(*(wanted.intersection(each) for each in suffixes))
    listed: frozenset[bytes | Network] = held.union(lifted.intersection(exact), rest)
    carved = frozenset(name for name in names if not held.isdisjoint(list(ancestors(name))[1:]))
    return tuple(
        replace(
            event,
            carved=carved.intersection(event.targets),
            idle=frozenset(event.targets - listed - carved),
        )
        for event in dated
    )


def status_at(loaded: LoadedOrder, now: datetime) -> Status:
    """The status of an order at an instant (aware): draft while people have yet to approve it."""
    if loaded.waiting:
        return "draft"
    before: Status = loaded.order.status
    status = before
    for event in loaded.events:
        if event.at > now:
            break
        if event.kind == "suspend":
            status = "draft" if before == "draft" else "suspended"
        elif event.kind == "resume":
            status = "active" if before == "suspended" else before
        elif event.kind == "lift":
            status = "lifted"
    return status


def end_at(loaded: LoadedOrder, now: datetime) -> datetime | None:
    """The first instant without force, as it is known at an instant."""
    end = loaded.expires
    for event in loaded.events:
        if event.at <= now and event.kind == "amend-end":
            end = event.end
    return end


def lifted_at(loaded: LoadedOrder, now: datetime) -> frozenset[bytes | Network]:
    """The targets that have been lifted at an instant."""
    return frozenset().union(*(event.targets for event in loaded.events if event.at <= now))


def carved_at(loaded: LoadedOrder, now: datetime) -> frozenset[bytes]:
    """Names below targets that have been lifted at an instant: they are exempt from then on."""
    return frozenset().union(*(event.carved for event in loaded.events if event.at <= now))


def instant(value: date | datetime, zone: ZoneInfo) -> datetime:
    """Resolve a date (its first instant in ``zone``) or an aware date-time.

    The result carries a fixed offset, so that comparing and subtracting is exact where the
    zone changes its clocks. A midnight that clocks skip is the instant of the change.
    """
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=zone)
        offset = value.utcoffset()
        assert offset is not None
        return value.replace(tzinfo=timezone(offset))
    return value
