"""What is worth a second look in an order that is not faulty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from geodns.model.name import ancestors, to_text
from geodns.model.place import expand, kind
from geodns.orders.loaded import LoadedOrder
from geodns.orders.read import Repeat

Level = Literal["info", "warn", "hold"]

EXAMPLES = 3
"""How many names a finding quotes."""

# Prefix lengths below which a target network is so big that it is rarely meant.
_WIDE = {4: 16, 6: 32}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about an order that a person should look at; it loads all the same.

    level: info (good to know), warn (probably a mistake), hold (a person must confirm).
    order: the order's id. field: dotted path, or None for the whole. file: where it stands.
    """

    level: Level
    order: str
    field: str | None
    message: str
    file: str

    def as_json(self) -> dict[str, object]:
        """The finding as a JSON-ready mapping."""
        return {
            "level": self.level,
            "order": self.order,
            "field": self.field,
            "message": self.message,
            "file": self.file,
        }


def lint(loaded: LoadedOrder, repeats: Sequence[Repeat] = ()) -> tuple[Finding, ...]:
    """Return the findings of one order. repeats: names that its lists hold more than once."""
    found = [*_names(loaded), *_repeats(repeats), *_places(loaded), *_record(loaded)]
    ident, path = loaded.order.id, loaded.path
    return tuple(Finding(level, ident, field, text, path) for level, field, text in found)


def lint_all(orders: Sequence[LoadedOrder]) -> tuple[Finding, ...]:
    """Return the findings that only all orders together show."""
    known = {loaded.order.id for loaded in orders}
    return tuple(
        Finding(
            "warn",
            loaded.order.id,
            f"supersedes.{index}",
            f"{other!r} is the id of no loaded order",
            loaded.path,
        )
        for loaded in orders
        for index, other in enumerate(loaded.order.supersedes)
        if other not in known
    )


_Found = Iterator[tuple[Level, str | None, str]]


def _quote(names: Sequence[bytes]) -> str:
    shown = ", ".join(to_text(name) for name in names[:EXAMPLES])
    more = len(names) - EXAMPLES
    return shown + (f" and {more} more" if more > 0 else "")


def _names(loaded: LoadedOrder) -> _Found:
    lists = (("domains", loaded.domains), ("exact", loaded.exact), ("below", loaded.below))
    for field, names in lists:
        single = [name for name in names if name[name[0] + 1] == 0]
        if single:
            told = f"single label, a whole top-level domain: {_quote(single)}"
            yield "warn", f"targets.{field}", told
    if loaded.exempt:
        exempt = set(loaded.exempt)
        for field, names in lists:
            idle = [name for name in names if not exempt.isdisjoint(ancestors(name))]
            if idle:
                told = f"no effect, under the order's own exempt: {_quote(idle)}"
                yield "warn", f"targets.{field}", told
    for network in loaded.networks:
        if network.prefixlen < _WIDE[network.version]:
            yield "warn", "targets.networks", f"{network} is very large"


def _repeats(repeats: Sequence[Repeat]) -> _Found:
    fields: dict[str, list[Repeat]] = {}
    for repeat in repeats:
        fields.setdefault(repeat.field, []).append(repeat)
    for field, some in fields.items():
        lines = [f"{item.file}:{item.line}" for item in some[:EXAMPLES] if item.line]
        where = f" ({', '.join(lines)})" if lines else ""
        yield "info", field, f"listed twice: {_quote([item.name for item in some])}{where}"


def _places(loaded: LoadedOrder) -> _Found:
    if loaded.jurisdiction is None:
        yield "warn", "jurisdiction", f"global: wider than the authority's place, {loaded.place}"
        return
    own = expand(loaded.place) | {loaded.place}
    wider = [
        place
        for place in loaded.jurisdiction
        if kind(place) != "asn" and not all(_inside(atom, own) for atom in expand(place))
    ]
    if wider:
        told = f"wider than the authority's place, {loaded.place}: {', '.join(wider)}"
        yield "warn", "jurisdiction", told
    held = _atoms(loaded.jurisdiction)
    carved = _atoms(loaded.except_)
    # Subdivisions may lie in one another, and a network anywhere: only a country outside
    # those of the jurisdiction is surely without effect.
    countries = {atom.split("-")[0] for atom in held}
    anywhere = any(kind(place) == "asn" for place in held)
    for place in () if anywhere else loaded.except_:
        if kind(place) != "asn" and countries.isdisjoint(
            atom.split("-")[0] for atom in expand(place)
        ):
            yield "warn", "except", f"{place} has no effect: it is not in the jurisdiction"
    if held <= carved:
        yield "warn", "except", "the whole jurisdiction is carved out: the order has no force"
    for place in (*loaded.jurisdiction, *loaded.except_):
        if place in _LOCATED_AS:
            told = f"{place} is located as {_LOCATED_AS[place]} by most databases; name that too"
            yield "warn", "jurisdiction", told


def _atoms(places: Iterable[str]) -> set[str]:
    return {atom for place in places for atom in expand(place)}


def _inside(place: str, held: Iterable[str]) -> bool:
    """Whether an atom is one of ``held`` or a subdivision of one; an AS may be anywhere."""
    return place in held or (kind(place) == "subdivision" and place.split("-")[0] in held)


def _record(loaded: LoadedOrder) -> _Found:
    order = loaded.order
    if order.authority.reference is None:
        yield "info", "authority.reference", "the authority's own number is not given"
    if not order.sources:
        yield "warn", "sources", "no source is given"
    if loaded.expires is None and loaded.review is None and order.status != "lifted":
        yield "info", "dates", "neither expires nor review is given: nothing ends a stale order"
    if loaded.deadline is not None and loaded.deadline < loaded.effective:
        yield "warn", "dates.deadline", "lies before effective"
    if loaded.issued is not None and loaded.issued > loaded.effective:
        yield "warn", "dates.issued", "lies after effective"
    if order.status in ("active", "shadow") and order.disclosure.text is None:
        yield "info", "disclosure.text", "nothing is told to the client: no text is given"


# Places with an ISO 3166-2 code under their motherland and an ISO 3166-1 code of their own:
# databases give the second as the country.
_LOCATED_AS = {
    **{f"US-{code}": code for code in ("AS", "GU", "MP", "PR", "UM", "VI")},
    **{f"CN-{code}": code for code in ("HK", "MO", "TW")},
    **{f"NL-{code}": code for code in ("AW", "CW", "SX")},
    **{f"FR-{code}": code for code in ("BL", "MF", "NC", "PF", "PM", "TF", "WF")},
    "FR-971": "GP",
    "FR-972": "MQ",
    "FR-973": "GF",
    "FR-974": "RE",
    "FR-976": "YT",
    "FI-01": "AX",
}
