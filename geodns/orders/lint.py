"""What is worth a second look in an order that is not faulty."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from geodns.model.name import NameFault, ancestors, parse, to_text
from geodns.model.place import PlaceFault, expand, kind, parse_place
from geodns.model.tomllines import find_line, read_lines
from geodns.orders.loaded import LoadedOrder
from geodns.orders.read import Repeat

Level = Literal["info", "warn", "hold"]

EXAMPLES = 3
"""How many names a finding quotes."""

# Prefix lengths below which a target network is so big that it is rarely meant.
_WIDE = {4: 16, 6: 32}

_NO_LISTS: Mapping[str, bytes] = {}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about an order that a person should look at; it loads all the same.

    level: info (good to know), warn (probably a mistake), hold (a person must confirm).
    order: the order's id. field: dotted path, or None for the whole. file: where it stands.
    line: 1-based, or None where it is not known.
    """

    level: Level
    order: str
    field: str | None
    message: str
    file: str
    line: int | None = None

    def as_json(self) -> dict[str, object]:
        """The finding as a JSON-ready mapping."""
        return {
            "level": self.level,
            "order": self.order,
            "field": self.field,
            "message": self.message,
            "file": self.file,
            "line": self.line,
        }


def lint(
    loaded: LoadedOrder,
    repeats: Sequence[Repeat] = (),
    data: bytes = b"",
    lists: Mapping[str, bytes] = _NO_LISTS,
) -> tuple[Finding, ...]:
    """Return the findings of one order.

    repeats: names that its lists hold more than once. data: the order file's bytes; lists:
    those of its list files; a name in question is looked for there, to tell its line.
    """
    ident, path = loaded.order.id, loaded.path
    found = [*_names(loaded), *_repeats(repeats), *_places(loaded), *_record(loaded)]
    findings = [
        Finding("warn", ident, f"targets.{field}", told, *where_is(path, field, name, data, lists))
        for field, name, told in _single(loaded)
    ]
    findings += [Finding(level, ident, field, text, path) for level, field, text in found]
    return tuple(findings)


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


def _single(loaded: LoadedOrder) -> Iterator[tuple[str, bytes, str]]:
    for field, names in _targets(loaded):
        single = [name for name in names if name[name[0] + 1] == 0]
        if single:
            yield field, single[0], f"single label, a whole top-level domain: {_quote(single)}"


def where_is(
    path: str, field: str, name: bytes, data: bytes, lists: Mapping[str, bytes]
) -> tuple[str, int | None]:
    """The file and line of a single label: in the order file, else in one of its lists."""
    try:
        text = data.decode("utf-8-sig")
        entries = tomllib.loads(text).get("targets", {}).get(field, [])
    except ValueError:
        return path, None
    for index, entry in enumerate(entries):
        if _same(entry, name):
            return path, find_line(read_lines(text), ("targets", field, index))
    for file, content in lists.items():
        for number, row in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
            entry = row.partition("#")[0].strip()
            # Lists are long and a single label is rare: most rows are told by their dots.
            if "." not in entry[:-1] and _same(entry, name):
                return str(PurePosixPath(path).parent / file), number
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
        for name in loaded.order.targets.files
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
