"""What is worth a second look in an order that is not faulty."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from geodns.model.name import NameFault, ancestors, parse, to_text, unicode_of
from geodns.model.place import PlaceFault, atoms, expand, kind, parse_place
from geodns.model.tomllines import find_line, read_lines
from geodns.orders.approval import SUFFIX as APPROVALS
from geodns.orders.loaded import Level, LoadedOrder
from geodns.orders.read import Repeat

EXAMPLES = 3
"""How many names a finding quotes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about an order that a person should look at; it loads all the same.

    level: info (good to know), warn (probably a mistake), hold (a person must confirm).
    order: the order's id. field: dotted path, or None for the whole. file: where it stands.
    line: 1-based, or None where it is not known. kind: what ``[[acknowledge]]`` calls it, empty
    where it cannot be acknowledged. target: as order files write it.
    """

    level: Level
    order: str
    field: str | None
    message: str
    file: str
    line: int | None = None
    kind: str = ""
    target: str | None = None

    def as_json(self) -> dict[str, object]:
        """The finding as a JSON-ready mapping."""
        return {
            "level": self.level,
            "order": self.order,
            "field": self.field,
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "kind": self.kind or None,
            "target": self.target,
        }


def lint(
    loaded: LoadedOrder,
    repeats: Sequence[Repeat] = (),
) -> tuple[Finding, ...]:
    """Return the findings of one order but for those about single targets (guard/review.py).

    repeats: names that its lists hold more than once.
    """
    ident, path = loaded.order.id, loaded.path
    found = [*_names(loaded), *_repeats(repeats), *_places(loaded), *_record(loaded)]
    return tuple(
        Finding(level, ident, field, text, path, kind=_kind(field, text))
        for level, field, text in found
    )


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


def _targets(loaded: LoadedOrder) -> tuple[tuple[str, Sequence[bytes]], ...]:
    return (("domains", loaded.domains), ("exact", loaded.exact), ("below", loaded.below))


def _kind(field: str | None, text: str) -> str:
    """What an order's finding about itself is called, where it can be acknowledged."""
    if field == "jurisdiction" and "wider than" in text:
        return "wide-jurisdiction"
    return {"dates": "no-end", "authority.reference": "no-reference", "sources": "no-source"}.get(
        field or "", ""
    )


def where_is(
    path: str, field: str, name: bytes, data: bytes, lists: Mapping[str, bytes]
) -> tuple[str, int | None]:
    """The file and line of a name: in the order file, else in one of its lists."""
    try:
        text = data.decode("utf-8-sig")
        entries = tomllib.loads(text).get("targets", {}).get(field, [])
    except ValueError:
        return path, None
    for index, entry in enumerate(entries):
        if _same(entry, name):
            return path, find_line(read_lines(text), ("targets", field, index))
    # As lists write a name: in ASCII or, rarely, in Unicode; with what they have around it.
    told = to_text(name)
    for file, content in lists.items():
        for shown in dict.fromkeys((told, unicode_of(told) or told)):
            row = re.compile(rb"(?im)^[ \t]*" + re.escape(shown.encode()) + rb"\.?[\s#]")
            found = row.search(content.removeprefix(b"\xef\xbb\xbf") + b"\n")
            if found is not None:
                line = content.count(b"\n", 0, found.start()) + 1
                return str(PurePosixPath(path).parent / file), line
    return path, None


def _same(text: object, name: bytes) -> bool:
    try:
        return isinstance(text, str) and parse(text) == name
    except NameFault:
        return False


def lint_folders(
    paths: Sequence[Path], orders: Sequence[LoadedOrder], *, complete: bool
) -> Iterator[Finding]:
    """Find files in places' folders that nothing reads.

    paths: directories of orders, places' folders or files. complete: whether all order files
    could be read, so that a list that none of them names is surely read by none.
    """
    used = {
        (Path(loaded.path).parent / name).absolute()
        for loaded in orders
        for name in _beside(loaded)
    }
    for folder in dict.fromkeys(folder for path in paths for folder in _place_folders(path)):
        for file in sorted(folder.iterdir()):
            name = file.name
            if name.endswith((".toml", ".md")) or name.startswith((".", "#", "~$")):
                continue
            if name.endswith(("~", ".swp", ".tmp")) or not file.is_file():
                continue
            if file.absolute() in used or (name.lower().endswith(".txt") and not complete):
                continue
            told = "is not read: no order names it as a list, and an order's name ends in .toml"
            yield Finding("warn", file.stem, None, told, str(file))


def _beside(loaded: LoadedOrder) -> Iterator[str]:
    """The files in its folder that an order reads."""
    yield from loaded.order.targets.files
    for feed in loaded.order.feeds:
        yield from (name for name in (feed.path, feed.openpgp) if name is not None)
    yield loaded.order.id + APPROVALS


def _place_folders(path: Path) -> Iterator[Path]:
    """The places' folders at a path: itself, or those in it."""
    if not path.is_dir():
        return
    for folder in (path, *sorted(path.iterdir())):
        try:
            if folder.is_dir():
                parse_place(folder.absolute().name)
                yield folder
        except PlaceFault:
            continue


def _names(loaded: LoadedOrder) -> _Found:
    lists = _targets(loaded)
    if loaded.exempt:
        exempt = set(loaded.exempt)
        for field, names in lists:
            idle = [name for name in names if not exempt.isdisjoint(ancestors(name))]
            if idle:
                told = f"no effect, under the order's own exempt: {_quote(idle)}"
                yield "warn", f"targets.{field}", told


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
    held = atoms(loaded.jurisdiction)
    carved = atoms(loaded.except_)
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
    if loaded.review is not None and loaded.expires is not None and loaded.review > loaded.expires:
        yield "warn", "dates.review", "lies after expires: nobody will look at it before"
    if loaded.issued is not None and loaded.issued > loaded.effective:
        yield "warn", "dates.issued", "lies after effective"
    if order.status in ("active", "shadow") and order.disclosure.text is None:
        yield (
            "info",
            "disclosure.text",
            "no text is given: clients are told the id of the order, and not what it is",
        )


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
