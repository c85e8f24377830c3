"""Two sets of orders -> what is blocked where, from when until when, that was not, and the reverse.

A name that one order drops and another in force still names there is still blocked. To tell that,
a target is taken in halves: a name itself, and what is below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from geodns.model.name import ancestors
from geodns.orders.loaded import LoadedOrder, Network
from geodns.orders.places import fold, has_force, places_of, reach

Verdict = Literal["blocked", "freed", "kept", "already"]
"""blocked: it was not. freed: it was. kept: an order drops it, others still block it. already: an
order names it anew, others blocked it before."""
Sort = Literal["domain", "exact", "below", "network"]
Target = tuple[Sort, bytes | Network]
Select = Callable[[Iterable[LoadedOrder], datetime], list[LoadedOrder]]
"""The orders that rule or record at an instant, as they are then: policy.compile's."""

_Half = tuple[Literal["self", "below", "network"], bytes | Network]
_Halves = frozenset[_Half]
_NO_HALVES: _Halves = frozenset()
_State = dict[tuple[Verdict, tuple[str, ...]], _Halves]
_Span = tuple[Verdict, tuple[str, ...], datetime | None, datetime | None]
_Forms = dict[str, LoadedOrder]


@dataclass(frozen=True, slots=True)
class Turn:
    """What changes for some places at once.

    places: canonical, ``AS1 in IT``, ELSEWHERE or UNKNOWN; sorted. but: places inside these of
    which it is not so. start: when it differs first, None where it does at the instant asked for.
    end: when it differs no more, None for never. by: the orders that block (freed: that blocked).
    targets: sorted.
    """

    places: tuple[str, ...]
    but: tuple[str, ...]
    verdict: Verdict
    start: datetime | None
    end: datetime | None
    by: tuple[str, ...]
    targets: tuple[Target, ...]


def turns(
    before: Mapping[str, LoadedOrder],
    after: Mapping[str, LoadedOrder],
    changed: Iterable[str],
    now: datetime,
    select: Select,
) -> tuple[list[Turn], set[str]]:
    """What differs between two sets of orders, by id, from an instant (aware) on.

    changed: ids of orders that are not the same on both sides. Returns the turns, and which orders
    block something, somewhere, at some instant on one side only.
    """
    net = _Net((before, after), set(changed), now, select)
    return net.turns(), net.touched


class _Net:
    def __init__(
        self,
        sides: tuple[Mapping[str, LoadedOrder], Mapping[str, LoadedOrder]],
        changed: set[str],
        now: datetime,
        select: Select,
    ) -> None:
        self.sides, self.now, self.select = sides, now, select
        ids = _superseding(sides, changed)
        self.instants = self._instants(ids)
        self.halves = self._candidates(ids)
        self.above: set[bytes | Network] = set()
        self.covers: dict[str, _Halves] = {}
        self.touched: set[str] = set()
        self.ids = ids
        self._widen()
        self.instants = self._instants(self.ids)
        self.forms = [
            tuple(self._active(side, self.ids, instant) for side in (0, 1))
            for instant in self.instants
        ]

    def turns(self) -> list[Turn]:
        """By place, then by time."""
        found: dict[tuple[_Span, _Halves], set[str]] = {}
        known = [name for name, _ in places_of(self._involved())]
        for place, spans in self._timelines().items():
            for each in spans.items():
                found.setdefault(each, set()).add(place)
        rows = [
            Turn(*fold(places, known), verdict, start, end, by, _whole(halves))
            for ((verdict, by, start, end), halves), places in found.items()
        ]
        order = ("blocked", "freed", "already", "kept")
        return sorted(
            rows,
            key=lambda row: (
                row.places,
                row.start or self.now,
                row.end or self.now,
                row.but,
                order.index(row.verdict),
                row.by,
            ),
        )

    def _widen(self) -> None:
        """Take in the orders that may block any of the halves, and what those exempt below one: it
        need not fare as the rest does."""
        while True:
            ones = {one for _, one in self.halves}
            self.above = {above for one in ones for above in _above(one)}
            met = {id_ for side in self.sides for id_, one in side.items() if self._meets(one)}
            self.ids = _superseding(self.sides, self.ids | met)
            exempt = {
                half
                for loaded in self._involved()
                for name in _ever_exempt(loaded)
                if not ones.isdisjoint(ancestors(name))
                for half in _split(name)
            }
            if exempt <= self.halves:
                return
            self.halves |= exempt

    def _involved(self) -> list[LoadedOrder]:
        return [side[ident] for side in self.sides for ident in self.ids if ident in side]

    def _instants(self, ids: set[str]) -> list[datetime]:
        found = {self.now}
        for side in self.sides:
            for loaded in (side[ident] for ident in ids if ident in side):
                if loaded.may_have_force:
                    ends = (event.end for event in loaded.events)
                    dates = (loaded.effective, loaded.expires, *ends)
                    found.update(date for date in dates if date is not None)
                    found.update(event.at for event in loaded.events)
        return sorted(instant for instant in found if instant >= self.now)

    def _active(self, side: int, ids: set[str], instant: datetime) -> _Forms:
        orders = [loaded for ident, loaded in self.sides[side].items() if ident in ids]
        chosen = self.select(orders, instant)
        return {one.order.id: one for one in chosen if one.order.status == "active"}

    def _candidates(self, ids: set[str]) -> _Halves:
        """The halves that some order blocks on one side and not on the other."""
        found: set[_Half] = set()
        seen: set[tuple[str, ...]] = set()
        for instant in self.instants:
            was, will = (self._active(side, ids, instant) for side in (0, 1))
            for ident in was.keys() | will.keys():
                a, b = was.get(ident), will.get(ident)
                key = (ident, a.edition if a else "", b.edition if b else "")
                same = a and b and a.edition == b.edition and reach(a) == reach(b)
                if key not in seen and not same:
                    seen.add(key)
                    found |= _differing(a, b)
        return frozenset(found)

    def _meets(self, loaded: LoadedOrder) -> bool:
        """Whether an order may block any of the halves."""
        lists = (loaded.domains, loaded.exact, loaded.below, loaded.networks)
        return any(not self.above.isdisjoint(names) for names in lists)

    def _cover(self, form: LoadedOrder) -> _Halves:
        """Which of the halves an order blocks, as it is then."""
        found = self.covers.get(form.edition)
        if found is None:
            found = frozenset(_covered(form, self.halves, self.above))
            self.covers[form.edition] = found
        return found

    def _timelines(self) -> dict[str, dict[_Span, _Halves]]:
        """By place: (verdict, by, start, end) -> halves."""
        memo: dict[object, _State] = {}
        lines: dict[object, dict[_Span, _Halves]] = {}
        found: dict[str, dict[_Span, _Halves]] = {}
        for name, place in places_of(self._involved()):
            states = []
            for sides in self.forms:
                here = [[one for one in side.values() if has_force(one, place)] for side in sides]
                key = tuple(tuple((one.order.id, one.edition) for one in side) for side in here)
                if key not in memo:
                    memo[key] = self._state(*here)
                states.append(memo[key])
            identity = tuple(map(id, states))
            if identity not in lines:
                lines[identity] = self._spans(states)
            if lines[identity]:
                found[name] = lines[identity]
        return found

    def _spans(self, states: Sequence[_State]) -> dict[_Span, _Halves]:
        """For how long each verdict holds. Whom it is by is told as it was at its start."""
        spans: dict[_Span, _Halves] = {}
        opened: dict[tuple[Verdict, tuple[str, ...], int], _Halves] = {}
        former: _State = {}
        for at, state in enumerate([*states, {}]):
            if state is former:
                continue
            end = self.instants[at] if at < len(states) else None
            going: dict[Verdict, _Halves] = {}
            for (verdict, _), halves in state.items():
                going[verdict] = going.get(verdict, _NO_HALVES) | halves
            for key, halves in [*opened.items()]:
                verdict, by, begun = key
                over = halves - going.get(verdict, _NO_HALVES)
                going[verdict] = going.get(verdict, _NO_HALVES) - halves
                if over:
                    start = None if begun == 0 else self.instants[begun]
                    span = (verdict, by, start, end)
                    spans[span] = spans.get(span, _NO_HALVES) | over
                    opened[key] = halves - over
            for (verdict, by), halves in state.items():
                if fresh := halves & going[verdict]:
                    opened[verdict, by, at] = fresh
            former = state
        return spans

    def _state(self, a: list[LoadedOrder], b: list[LoadedOrder]) -> _State:
        """The verdicts where these orders have force on the one side, and those on the other."""
        was = {one.order.id: self._cover(one) for one in a}
        will = {one.order.id: self._cover(one) for one in b}
        self.touched.update(each for each in was.keys() | will if was.get(each) != will.get(each))
        old, new = _NO_HALVES.union(*was.values()), _NO_HALVES.union(*will.values())
        dropped = _NO_HALVES.union(*(was[each] - will.get(each, _NO_HALVES) for each in was))
        named = _NO_HALVES.union(*(will[each] - was.get(each, _NO_HALVES) for each in will))
        found: _State = {}
        verdicts: tuple[tuple[Verdict, _Halves, dict[str, _Halves]], ...] = (
            ("blocked", new - old, will),
            ("freed", old - new, was),
            ("kept", dropped & new, will),
            ("already", (named & old) - dropped, was),
        )
        for verdict, halves, by in verdicts:
            groups: dict[tuple[str, ...], _Halves] = {(): halves} if halves else {}
            for ident in sorted(by):
                for ids, some in [*groups.items()]:
                    if mine := some & by[ident]:
                        groups[ids] = some - mine
                        groups[(*ids, ident)] = mine
            found |= {(verdict, ids): some for ids, some in groups.items() if some}
        return found


def _ever_exempt(loaded: LoadedOrder) -> Iterator[bytes]:
    """Names that are carved out of an order, by itself or by an event."""
    yield from loaded.exempt
    for event in loaded.events:
        yield from event.carved


def _superseding(sides: Iterable[Mapping[str, LoadedOrder]], ids: set[str]) -> set[str]:
    """Ids with all that supersede them or are superseded, and so on."""
    pairs = [
        (one.order.id, other)
        for side in sides
        for one in side.values()
        for other in one.order.supersedes
    ]
    found, size = set(ids), -1
    while size != len(found):
        size = len(found)
        for one, other in pairs:
            if one in found or other in found:
                found |= {one, other}
    return found


def _differing(a: LoadedOrder | None, b: LoadedOrder | None) -> set[_Half]:
    """Halves that an order may block on one side only."""
    if a is None or b is None or reach(a) != reach(b):
        forms = [one for one in (a, b) if one is not None]
        found = {half for one in forms for half in _halves(one)}
        # What it exempts another order may block.
        return found.union(half for one in forms for name in one.exempt for half in _split(name))
    found = set()
    for name in set(a.domains) ^ set(b.domains):
        found.update(_split(name))
    found.update(("self", name) for name in set(a.exact) ^ set(b.exact))
    found.update(("below", name) for name in set(a.below) ^ set(b.below))
    found.update(("network", network) for network in set(a.networks) ^ set(b.networks))
    if carved := set(a.exempt) ^ set(b.exempt):
        found.update(half for name in carved for half in _split(name))
        found.update(
            half
            for one in (a, b)
            for half in _halves(one)
            if isinstance(half[1], bytes) and not carved.isdisjoint(ancestors(half[1]))
        )
    return found


def _split(name: bytes) -> tuple[_Half, _Half]:
    return ("self", name), ("below", name)


def _halves(loaded: LoadedOrder) -> Iterator[_Half]:
    for name in loaded.domains:
        yield from _split(name)
    yield from (("self", name) for name in loaded.exact)
    yield from (("below", name) for name in loaded.below)
    yield from (("network", network) for network in loaded.networks)


def _above(target: bytes | Network) -> Iterator[bytes | Network]:
    """The target and all that holds it."""
    if isinstance(target, bytes):
        yield from ancestors(target)
        return
    while target.prefixlen:
        yield target
        target = target.supernet()


def _covered(
    form: LoadedOrder, halves: Iterable[_Half], above: set[bytes | Network]
) -> Iterator[_Half]:
    domains, exact, below = (
        above.intersection(names) for names in (form.domains, form.exact, form.below)
    )
    networks, exempt = above.intersection(form.networks), above.intersection(form.exempt)
    if not (domains or exact or below or networks):
        return
    names_above = domains | below
    for half in halves:
        sort, target = half
        if not isinstance(target, bytes):
            if any(each in networks for each in _above(target)):
                yield half
            continue
        own = target in domains or target in (exact if sort == "self" else below)
        if own and not exempt:
            yield half
            continue
        chain = list(ancestors(target))
        if not exempt.isdisjoint(chain):
            continue
        if own or (names_above and not names_above.isdisjoint(chain[1:])):
            yield half


def _whole(halves: Iterable[_Half]) -> tuple[Target, ...]:
    """Halves put together to targets, sorted: names first."""
    halves = list(halves)
    own, below = (
        {one for part, one in halves if part == wanted and isinstance(one, bytes)}
        for wanted in ("self", "below")
    )
    networks = [one for _, one in halves if not isinstance(one, bytes)]
    networks.sort(key=lambda each: (each.version, int(each.network_address), each.prefixlen))
    names = sorted(own | below, key=lambda name: name[1:])  # nearly as their texts, and quick
    return (
        *(
            ("exact" if name not in below else "domain" if name in own else "below", name)
            for name in names
        ),
        *(("network", network) for network in networks),
    )
