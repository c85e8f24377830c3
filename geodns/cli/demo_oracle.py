"""What the order files say, read straight from their TOML: the demo's second opinion.

It shares no code with loading, compiling and ruling on purpose: a fault there cannot make
itself right here. It knows what the demo needs: domains, exact, below, exempt and list
files; countries and named sets; dates and status.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class PlainOrder:
    """An order as its file says it. places: countries; None = everywhere."""

    id: str
    folder: str
    status: str
    authority: str
    kind: str
    places: frozenset[str] | None
    except_: frozenset[str]
    effective: datetime
    expires: datetime | None
    names: tuple[tuple[str, str], ...]
    exempt: tuple[str, ...]
    action: str
    addresses: tuple[str, ...]

    def in_force(self, now: datetime) -> bool:
        """Whether its status and dates give it force at an instant."""
        ended = self.expires is not None and now >= self.expires
        return self.status == "active" and self.effective <= now and not ended

    def reaches(self, country: str) -> bool:
        """Whether it has force in a country."""
        return (self.places is None or country in self.places) and country not in self.except_

    def targets(self, name: str) -> list[tuple[bool, int]]:
        """How it targets a name: (exactly, number of labels of the target) of each target."""
        if any(_covers(name, exempt) for exempt in self.exempt):
            return []
        return [
            (how == "exact", target.count(".") + 1)
            for how, target in self.names
            if (name == target and how != "below")
            or (how != "exact" and name != target and _covers(name, target))
        ]


def _covers(name: str, above: str) -> bool:
    return name.split(".")[-len(above.split(".")) :] == above.split(".")


def read_orders(directories: Sequence[Path]) -> tuple[PlainOrder, ...]:
    """Read all order files of some folders, sorted by id."""
    found = [
        _read(path, tomllib.loads(path.read_text("utf-8")))
        for directory in directories
        for path in directory.glob("*/*.toml")
    ]
    return tuple(sorted(found, key=lambda order: order.id))


def expected(
    orders: Sequence[PlainOrder], chain: Sequence[str], country: str, now: datetime
) -> PlainOrder | None:
    """The order that blocks a client in a country, or None.

    chain: the queried name, then its aliases in order. An exact target beats others, a
    longer one a shorter, then the earlier ``effective``, then the id.
    """
    spared = {
        order.id for order in orders if any(_covers(chain[0], exempt) for exempt in order.exempt)
    }
    for name in chain:
        reached = [
            ((not exact, -length, order.effective, order.id), order)
            for order in orders
            if order.in_force(now) and order.reaches(country) and order.id not in spared
            for exact, length in order.targets(name)
        ]
        if reached:
            return min(reached, key=lambda entry: entry[0])[1]
    return None


def _read(path: Path, raw: Mapping[str, Any]) -> PlainOrder:
    targets: Mapping[str, Sequence[str]] = raw["targets"]
    zone = ZoneInfo(raw.get("timezone", "UTC"))
    places = raw.get("jurisdiction", [path.parent.name])
    dates = raw["dates"]
    response = raw.get("response", {})
    names = [
        (how, _plain(name))
        for how in ("domains", "exact", "below")
        for name in targets.get(how, ())
    ]
    for list_name in targets.get("files", ()):
        names += [("domains", name) for name in _list(path.parent / list_name)]
    return PlainOrder(
        id=raw["id"],
        folder=path.parent.name,
        status=raw["status"],
        authority=raw["authority"]["name"],
        kind=raw["authority"]["kind"],
        places=None if places == "global" else _countries(places),
        except_=_countries(raw.get("except", ())),
        effective=_instant(dates["effective"], zone),
        expires=_instant(dates["expires"], zone) if "expires" in dates else None,
        names=tuple(names),
        exempt=tuple(_plain(name) for name in targets.get("exempt", ())),
        action=response.get("action", "nxdomain"),
        addresses=tuple(response.get("addresses", ())),
    )


def _plain(name: str) -> str:
    return name.strip().lower().removesuffix(".")


def _list(path: Path) -> Iterator[str]:
    for line in path.read_text("utf-8-sig").splitlines():
        if name := _plain(line.partition("#")[0]):
            yield name


def _instant(value: date | datetime, zone: ZoneInfo) -> datetime:
    return value if isinstance(value, datetime) else datetime.combine(value, time(), zone)


def _countries(places: Sequence[str]) -> frozenset[str]:
    sets = tomllib.loads(files("geodns.model").joinpath("named_sets.toml").read_text("utf-8"))
    countries: set[str] = set()
    for place in places:
        countries.update(sets[place]["members"] if place in sets else [place])
    return frozenset(countries)
