"""What the guard knows: public suffixes, popular names, platforms and ranges of clouds."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from geodns.errors import Fault, InputFaults
from geodns.fastpath.index import PLAIN
from geodns.model.name import NameFault, ancestors, labels, parse
from geodns.orders.guard.clouds import Clouds, read_clouds

MOST_POPULAR = 10_000
"""Names of a popularity list that count as popular: the first ones."""
BUNDLED_POPULAR = "OpenDNS, 2014-11-06"
_HERE = Path(__file__).parent
_RESERVED = frozenset(
    parse(text) for text in ("test", "example", "example.com", "example.net", "example.org")
)


@dataclass(frozen=True, slots=True)
class Suffixes:
    """The rules of the Public Suffix List, as folded names in wire format.

    plain: rule -> whether it is of the private section. wild: the names whose children are
    public suffixes, so that they count as such themselves. exceptions: those of them that are
    none.
    """

    plain: Mapping[bytes, bool]
    wild: Mapping[bytes, bool]
    exceptions: frozenset[bytes]

    def section(self, name: bytes) -> str | None:
        """``ICANN`` or ``private`` where a name is a public suffix, else None."""
        if name in self.exceptions:
            return None
        private = self.plain.get(name)
        if private is None:
            private = self.wild.get(name, self.wild.get(name[name[0] + 1 :]))
        return None if private is None else "private" if private else "ICANN"


@dataclass(frozen=True, slots=True)
class Facts:
    """popular: name -> rank, from 1; 0 where there is none but everybody knows it. covering: a
    name -> the most popular name below it. platforms: name -> what it is; all below is shared
    too. hosts: the same, but what is below is a customer's own. source: of ``popular``, with
    its date.
    """

    suffixes: Suffixes
    popular: Mapping[bytes, int]
    covering: Mapping[bytes, bytes]
    platforms: Mapping[bytes, str]
    hosts: Mapping[bytes, str]
    clouds: Clouds
    source: str


@cache
def bundled() -> Facts:
    """The facts that come with geodns and the packages it uses."""
    with (_HERE / "platforms.toml").open("rb") as file:
        known = tomllib.load(file)
    platforms, hosts, young = (
        {parse(text): each.get("what", "") for each in known[key] for text in each["names"]}
        for key in ("platforms", "hosts", "popular")
    )
    suffixes = _read_suffixes()
    popular = _read_popular(_HERE / "popular.txt")
    for name in young:
        popular.setdefault(name, 0)
    return Facts(
        suffixes,
        popular,
        _covering(popular, suffixes),
        platforms,
        hosts,
        read_clouds(_HERE / "clouds.txt"),
        BUNDLED_POPULAR,
    )


def with_popular(path: Path | None) -> Facts:
    """The bundled facts, with the operator's own list of popular names if there is one.

    path: a file with one name a line, the most popular first, or ``rank,name`` as Tranco
    writes it. Raises InputFaults where it cannot be read or holds no names.
    """
    facts = bundled()
    if path is None:
        return facts
    try:
        popular = _read_popular(path)
        stamp = path.stat().st_mtime
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or "is not UTF-8"
        raise InputFaults([Fault(f"cannot be read: {told}", str(path), None, "popular")]) from None
    if not popular:
        told = "holds no names; write one name a line, or rank,name"
        raise InputFaults([Fault(told, str(path), None, "popular")])
    from datetime import UTC, datetime

    day = datetime.fromtimestamp(stamp, UTC).date().isoformat()
    return replace(
        facts,
        popular=popular,
        covering=_covering(popular, facts.suffixes),
        source=f"{path.name}, {day}",
    )


def _name(text: str) -> bytes:
    """What ``parse`` gives, quickly for plain names. Raises NameFault."""
    octets = text.encode()
    if not PLAIN.match(octets):
        return parse(text)
    return b"".join(bytes((len(label),)) + label for label in octets.split(b".")) + b"\0"


def _read_popular(path: Path) -> dict[bytes, int]:
    """The first names of a list, with their rank. Lines that hold no name are passed over."""
    found: dict[bytes, int] = {}
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            text = line.partition("#")[0].strip().rpartition(",")[2]
            try:
                name = _name(text) if text else None
            except NameFault:
                continue
            if name is None or len(labels(name)) < 2 or not _RESERVED.isdisjoint(ancestors(name)):
                continue
            found.setdefault(name, len(found) + 1)
            if len(found) == MOST_POPULAR:
                break
    return found


def _covering(popular: Mapping[bytes, int], suffixes: Suffixes) -> dict[bytes, bytes]:
    """Names above popular ones that are neither popular themselves nor public suffixes."""
    found: dict[bytes, bytes] = {}
    for name in popular:
        for above in ancestors(name):
            if above != name and above not in popular and suffixes.section(above) is None:
                found.setdefault(above, name)
    return found


def _read_suffixes() -> Suffixes:
    from publicsuffixlist import PSLFILE

    plain: dict[bytes, bool] = {}
    wild: dict[bytes, bool] = {}
    exceptions: set[bytes] = set()
    private = False
    for line in Path(PSLFILE).read_text("utf-8").splitlines():
        if line.startswith("//"):
            private = private or "BEGIN PRIVATE DOMAINS" in line
            continue
        rule = line.split(maxsplit=1)[0] if line.strip() else ""
        try:
            if rule.startswith("!"):
                exceptions.add(_name(rule[1:]))
            elif rule.startswith("*."):
                wild[_name(rule[2:])] = private
            elif rule:
                plain[_name(rule)] = private
        except NameFault:
            continue
    return Suffixes(plain, wild, frozenset(exceptions))
