"""Two sets of loaded orders -> what changes for whom, order by order and place by place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from geodns.model.name import to_text
from geodns.orders.events import end_at, status_at
from geodns.orders.loaded import Dated, Held, LoadedOrder, Network
from geodns.orders.net import Select, Target, Turn, turns

Item = str | bytes | Network
"""What lists hold: a text, a name (folded, wire format), a network."""
LISTS = ("domains", "exact", "below", "networks", "exempt")
_NOTES = (
    *("title", "global_reason", "legal_basis", "timezone", "sources", "unverified", "feeds"),
    "acknowledge",
)
"""Keys that are for the record, or whose effect shows elsewhere."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that changes in an order.

    key: as in the file, or ``held``, ``released`` and ``record``. told: in words; of a list empty,
    and what is new and gone in it is in ``added`` and ``gone`` (see text_of). answers: whether it
    changes what a client gets by itself, whatever names are blocked, while the order has force.
    """

    key: str
    told: str
    added: tuple[Item, ...] = ()
    gone: tuple[Item, ...] = ()
    answers: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What changes in one order. what: added, removed, changed. place: the authority's.

    answers: whether that can change what a client gets, now or later.
    """

    order: str
    title: str
    place: str
    what: str
    lines: tuple[Line, ...]
    answers: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changes: orders by place and id, and the turns that this means for clients."""

    changes: tuple[Change, ...]
    turns: tuple[Turn, ...]

    @property
    def answers(self) -> bool:
        """Whether what some client gets changes, now or later."""
        return bool(self.turns) or any(change.answers for change in self.changes)


def compare(
    before: Iterable[LoadedOrder], after: Iterable[LoadedOrder], now: datetime, select: Select
) -> Comparison:
    """Compare two sets of orders from an instant (aware) on.

    select: policy.compile.select_in_force, which this room may not import.
    """
    old = {loaded.order.id: loaded for loaded in before}
    new = {loaded.order.id: loaded for loaded in after}
    ids = [
        ident
        for ident in old.keys() | new.keys()
        if ident not in old or ident not in new or _differ(old[ident], new[ident])
    ]
    found, touched = turns(old, new, ids, now, select)
    changes = [_change(old.get(ident), new.get(ident), now, touched) for ident in ids]
    changes.sort(key=lambda change: (change.place, change.order))
    return Comparison(tuple(changes), tuple(found))


def spelt(target: Target) -> str:
    """A target in words: ``x.example``, ``x.example (that name only)``, ``192.0.2.0/24``."""
    sort, one = target
    text = text_of(one)
    if sort == "exact":
        return f"{text} (that name only)"
    return f"{text} (only what is below)" if sort == "below" else text


def text_of(one: Item) -> str:
    """A name or network as order files write it; a text as it is."""
    return to_text(one) if isinstance(one, bytes) else str(one)


def _differ(a: LoadedOrder, b: LoadedOrder) -> bool:
    return a.edition != b.edition or a.place != b.place or a.held != b.held


def _change(
    a: LoadedOrder | None, b: LoadedOrder | None, now: datetime, touched: Collection[str]
) -> Change:
    one = b or a
    assert one is not None
    force = any(_may_block(each, now) for each in (a, b) if each is not None)
    if a is None or b is None:
        lines: tuple[Line, ...] = tuple(_whole(one, now))
        what = "added" if a is None else "removed"
    else:
        lines, what = tuple(_lines(a, b, now)), "changed"
        if not lines:
            lines = (Line("record", "comments or spelling"),)
    told = force and any(line.answers for line in lines)
    answers = told or one.order.id in touched
    return Change(one.order.id, one.order.title, one.place, what, lines, answers)


def _may_block(loaded: LoadedOrder, now: datetime) -> bool:
    """Whether it blocks at ``now`` or may later."""
    status, end = status_at(loaded, now), end_at(loaded, now)
    if not loaded.may_have_force or loaded.order.status == "shadow" or status == "lifted":
        return False
    later = any(event.at > now for event in loaded.events)
    return later or (status == "active" and (end is None or end > now))


def _whole(one: LoadedOrder, now: datetime) -> Iterator[Line]:
    """What there is to know of an order that comes or goes."""
    yield Line("status", _status(one, now))
    yield Line("jurisdiction", _where(one))
    end = end_at(one, now)
    until = "" if end is None else f" until {day(end)}"
    yield Line("dates", f"from {day(one.effective)}{until}")
    for key in LISTS:
        names = getattr(one, key)
        if len(names):
            yield Line(f"targets.{key}", f"{len(names):,}")
    yield Line("response.action", _action(one))
    if one.held:
        yield Line("held", "", added=_held(one.held))
    for event in one.events:
        yield Line("events", _event(event))


def _lines(a: LoadedOrder, b: LoadedOrder, now: datetime) -> Iterator[Line]:
    if _status(a, now) != _status(b, now):
        yield Line("status", f"{_status(a, now)} -> {_status(b, now)}")
    yield from _places(a, b)
    yield from _dates(a, b)
    for key, told in (
        ("response.action", _action),
        ("response.ttl", lambda one: f"{one.order.response.ttl} s"),
        ("on_unknown", lambda one: one.order.on_unknown),
        ("on_stale", lambda one: one.order.on_stale),
        ("authority.place", lambda one: one.place),
    ):
        if told(a) != told(b):
            answers = key not in ("on_unknown", "authority.place")
            yield Line(key, f"{told(a)} -> {told(b)}", answers=answers)
    for key in LISTS:
        added, gone = _apart(getattr(a, key), getattr(b, key))
        if added or gone:
            yield Line(f"targets.{key}", "", added, gone)
    added, gone = _apart_texts(a.order.supersedes, b.order.supersedes)
    if added or gone:
        yield Line("supersedes", "", added, gone, answers=True)
    added, gone = _apart_texts(map(_event, a.events), map(_event, b.events))
    if added or gone:
        yield Line("events", "", added, gone)
    yield from _holding(a, b)
    yield from _told(a, b)


def _places(a: LoadedOrder, b: LoadedOrder) -> Iterator[Line]:
    if (a.jurisdiction is None) != (b.jurisdiction is None):
        yield Line("jurisdiction", f"{_where(a)} -> {_where(b)}")
    else:
        added, gone = _apart_texts(a.jurisdiction or (), b.jurisdiction or ())
        if added or gone:
            yield Line("jurisdiction", "", added, gone)
    added, gone = _apart_texts(a.except_, b.except_)
    if added or gone:
        yield Line("except", "", added, gone)


def _dates(a: LoadedOrder, b: LoadedOrder) -> Iterator[Line]:
    if a.effective != b.effective:
        late = "later" if b.effective > a.effective else "earlier"
        told = f"in force from {day(b.effective)}, {late}: it was {day(a.effective)}"
        yield Line("dates.effective", told, answers=True)  # the earlier order has precedence
    for key in ("expires", "issued", "deadline", "review"):
        old, new = getattr(a, key), getattr(b, key)
        if old != new:
            told = f"{_day_or_none(old)} -> {_day_or_none(new)}"
            yield Line(f"dates.{key}", told)


def _holding(a: LoadedOrder, b: LoadedOrder) -> Iterator[Line]:
    old = {(each.field, each.target): each for each in a.held}
    new = {(each.field, each.target): each for each in b.held}
    held = [new[key] for key in new if key not in old]
    if held:
        yield Line("held", "", added=_held(held))
    free = [old[key] for key in old if key not in new and key[1] in _names(b, key[0])]
    if free:
        yield Line("released", "", added=_held(free))


def _names(loaded: LoadedOrder, field: str) -> Sequence[bytes | Network]:
    found: Sequence[bytes | Network] = getattr(loaded, field.removeprefix("targets."))
    return found


def _told(a: LoadedOrder, b: LoadedOrder) -> Iterator[Line]:
    """What the client and the public are told, and what is kept for the record."""
    for key in ("name", "kind", "reference", "url"):
        yield from _value(
            f"authority.{key}", getattr(a.order.authority, key), getattr(b.order.authority, key)
        )
    for key in type(a.order.disclosure).model_fields:
        old, new = getattr(a.order.disclosure, key), getattr(b.order.disclosure, key)
        yield from _value(f"disclosure.{key}", old, new)
    quiet = [key for key in _NOTES if getattr(a.order, key) != getattr(b.order, key)]
    for key in ("title", "global_reason", "legal_basis"):
        if key in quiet:
            yield from _value(key, getattr(a.order, key), getattr(b.order, key))
            quiet.remove(key)
    if quiet:
        yield Line("record", ", ".join(quiet))


def _value(key: str, old: object, new: object) -> Iterator[Line]:
    if old != new:
        yield Line(key, f"{_text(old)} -> {_text(new)}", answers=True)


def _text(value: object) -> str:
    if value is None or value == () or value == {}:
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return "; ".join(f"{key}: {each.text}" for key, each in value.items())
    return str(value)


def _status(loaded: LoadedOrder, now: datetime) -> str:
    return status_at(loaded, now)


def _where(loaded: LoadedOrder) -> str:
    places = "global" if loaded.jurisdiction is None else " ".join(loaded.jurisdiction)
    return f"{places} less {' '.join(loaded.except_)}" if loaded.except_ else places


def _action(loaded: LoadedOrder) -> str:
    response = loaded.order.response
    return " ".join((response.action, *response.addresses))


def _event(event: Dated) -> str:
    parts = [f"{event.kind} {day(event.at)}"]
    if event.end is not None:
        parts.append(f"to {day(event.end)}")
    if event.targets:
        parts.append(", ".join(sorted(map(text_of, event.targets))))
    return " ".join(parts) + (f": {event.reason}" if event.reason else "")


def _held(held: Iterable[Held]) -> tuple[str, ...]:
    return tuple(f"{text_of(each.target)} ({each.finding})" for each in held)


def day(instant: datetime) -> str:
    """A date, with its time of day where that is not the day's start."""
    if (instant.hour, instant.minute, instant.second, instant.microsecond) == (0, 0, 0, 0):
        return instant.date().isoformat()
    return instant.isoformat(sep=" ", timespec="minutes")


def _day_or_none(instant: datetime | None) -> str:
    return "none" if instant is None else day(instant)


def _apart(
    a: Sequence[bytes | Network], b: Sequence[bytes | Network]
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """What is only in the second, and what is only in the first."""
    if a is b:
        return (), ()
    old, new = frozenset(a), frozenset(b)
    return tuple(sorted(new - old, key=_order)), tuple(sorted(old - new, key=_order))


def _order(one: bytes | Network) -> bytes:
    """Sorts names nearly as their texts, which would take long to make of many."""
    return one[1:] if isinstance(one, bytes) else bytes((one.version,)) + one.network_address.packed


def _apart_texts(a: Iterable[str], b: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    old, new = list(a), list(b)
    return (
        tuple(each for each in new if each not in old),
        tuple(each for each in old if each not in new),
    )
