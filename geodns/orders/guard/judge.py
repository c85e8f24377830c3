"""The targets of one order -> what hits people whom the order is not about.

Works on whole lists by set operations, so that a million names cost a fraction of a second:
only names that meet something are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from geodns.model.name import ancestors, to_text
from geodns.model.namelist import NameList
from geodns.orders.guard.alike import DIGITS, skeleton
from geodns.orders.guard.clouds import Cloud
from geodns.orders.guard.facts import Facts, bundled, with_popular
from geodns.orders.loaded import Level, LoadedOrder, Network

HOLD_BELOW = 2000
"""Rank up to which a name below a popular one is held; past it, it is only told."""
CHUNK = 1 << 16
"""Names that are looked at together."""
WIDE = {4: 16, 6: 32}
"""Prefix lengths below which a target network is so big that it is rarely meant."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One target that meets something. what: the kind of finding, as ``[[acknowledge]]`` names it.

    above: the name or network that an acknowledgement may name instead of the target.
    """

    level: Level
    what: str
    field: str
    target: bytes | Network
    told: str
    above: bytes | None = None

    def text(self) -> str:
        """The target as order files write it."""
        return to_text(self.target) if isinstance(self.target, bytes) else str(self.target)


def judge(loaded: LoadedOrder, known: Known) -> Iterator[Hit]:
    """Yield what is to be said of an order's targets, at most one hit a target."""
    exempt = frozenset(loaded.exempt)
    for field, names in (
        ("domains", loaded.domains),
        ("exact", loaded.exact),
        ("below", loaded.below),
    ):
        for chunk in _chunks(names):
            for hit in known.hits(f"targets.{field}", chunk):
                assert isinstance(hit.target, bytes)
                if not exempt or exempt.isdisjoint(ancestors(hit.target)):
                    yield hit
    for network in loaded.networks:
        found = _network(network, known.facts.clouds.find(network))
        if found is not None:
            yield found


def _chunks(names: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The names in parts, each without its root label."""
    if not isinstance(names, NameList):
        if names:
            yield [name[:-1] for name in names]
        return
    for first in range(0, len(names), CHUNK):
        last = min(first + CHUNK, len(names))
        # A label holds no zero octet: only the root of each name is one.
        yield bytes(names.blob[names.starts[first] : names.starts[last] - 1]).split(b"\0")


def _network(network: Network, cloud: Cloud | None) -> Hit | None:
    field = "targets.networks"
    if network.prefixlen < WIDE[network.version]:
        return Hit("hold", "wide-network", field, network, "is very large")
    if cloud is None:
        return None
    if cloud.shared:
        told = f"is shared by very many sites of {cloud.name}"
        return Hit("hold", "cloud-range", field, network, told)
    told = f"is rented from {cloud.name}, and may be somebody else's tomorrow"
    return Hit("warn", "cloud-range", field, network, told)


class Known:
    """The facts, made ready to be met with many names at once."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        suffixes = facts.suffixes
        tables = (suffixes.plain, suffixes.wild, facts.popular, facts.platforms, facts.hosts)
        self._itself = frozenset(name[:-1] for table in (*tables, facts.covering) for name in table)
        self._wild = frozenset(name[:-1] for name in suffixes.wild)
        above = {
            name
            for name in facts.popular
            if name not in facts.hosts and suffixes.section(name) is None
        }
        self._above = frozenset(name[:-1] for name in above | facts.platforms.keys())
        self._bare = frozenset(name[:-1] for name in facts.popular)
        self._looks: tuple[Callable[[str, bytes], Hit | None], ...] = (
            self._suffix,
            self._shared,
            self._popular,
        )

    def hits(self, field: str, chunk: list[bytes]) -> Iterator[Hit]:
        """The hits of some names, each in wire format without its root label."""
        suspects = set(self._itself.intersection(chunk))
        parents = {name[name[0] + 1 :] for name in chunk}
        single = b"" in parents
        wild, met = not self._wild.isdisjoint(parents), False
        while parents:
            met = met or not self._above.isdisjoint(parents)
            parents = {name[name[0] + 1 :] for name in parents if name}
        if single or wild or met:
            suspects.update(name for name in chunk if self._is_under(name))
        blob = b"\0".join(chunk)
        if b"xn--" in blob or blob[0] == 1 or b"\0\1" in blob:
            suspects.update(name for name in chunk if name[0] == 1 or b"xn--" in name)
        suspects.update(self._digits(chunk, blob))
        for bare in sorted(suspects) if suspects else ():
            hit = self._one(field, bare + b"\0")
            if hit is not None:
                yield hit

    def _is_under(self, name: bytes) -> bool:
        parent = name[name[0] + 1 :]
        if not parent or parent in self._wild:
            return True
        above = self._above
        while parent:
            if parent in above:
                return True
            parent = parent[parent[0] + 1 :]
        return False

    def _digits(self, chunk: list[bytes], blob: bytes) -> list[bytes]:
        """Names that are popular ones once digits are read as letters."""
        folded = blob.translate(DIGITS).split(b"\0")
        found = self._bare.intersection(folded)
        if not found:
            return []
        return [
            name for name, read in zip(chunk, folded, strict=True) if read in found and name != read
        ]

    def _one(self, field: str, name: bytes) -> Hit | None:
        for look in self._looks:
            hit = look(field, name)
            if hit is not None:
                return hit
        return self._alike(field, name) or self._short(field, name)

    def _suffix(self, field: str, name: bytes) -> Hit | None:
        if name[name[0] + 1] == 0:
            told = "is a single label, a whole top-level domain"
            return Hit("hold", "single-label", field, name, told)
        section = self.facts.suffixes.section(name)
        if section is None:
            return None
        exact = field == "targets.exact"
        told = f"is a public suffix ({section}): what is below it belongs to many"
        return Hit("warn" if exact else "hold", "public-suffix", field, name, told)

    def _shared(self, field: str, name: bytes) -> Hit | None:
        for above in ancestors(name):
            what = self.facts.platforms.get(above)
            if what is not None:
                told = f"is {what}" if above == name else f"is below {to_text(above)}, {what}"
                return Hit("hold", "platform", field, name, told, above)
            if above != name and (above in self.facts.hosts or self._is_suffix(above)):
                break  # what is below here is another's
        what = self.facts.hosts.get(name)
        if what is None:
            return None
        return Hit("hold", "platform", field, name, f"is {what}")

    def _is_suffix(self, name: bytes) -> bool:
        return self.facts.suffixes.section(name) is not None

    def _popular(self, field: str, name: bytes) -> Hit | None:
        facts = self.facts
        rank = facts.popular.get(name)
        if rank is not None:
            return Hit("hold", "popular", field, name, f"is popular ({self._rank(rank)})")
        covered = facts.covering.get(name) if field != "targets.exact" else None
        if covered is not None:
            told = f"covers {to_text(covered)} ({self._rank(facts.popular[covered])})"
            return Hit("hold", "popular", field, name, told)
        for above in ancestors(name):
            rank = facts.popular.get(above)
            if facts.suffixes.section(above) is not None or above in facts.hosts:
                return None  # what is below here is another's
            if rank is not None:
                told = f"is below {to_text(above)} ({self._rank(rank)})"
                level: Level = "hold" if rank <= HOLD_BELOW else "warn"
                return Hit(level, "below-popular", field, name, told, above)
        return None

    def _rank(self, rank: int) -> str:
        return f"rank {rank}, {self.facts.source}" if rank else "known to everybody"

    def _alike(self, field: str, name: bytes) -> Hit | None:
        popular = self.facts.popular
        if b"xn--" in name:
            seen = skeleton(name)
            if seen is not None and seen in popular:
                told = f"looks like {to_text(seen)}: is it the one that was ordered?"
                return Hit("warn", "look-alike", field, name, told)
        read = name.translate(DIGITS)
        if read != name and read in popular:
            told = f"looks like {to_text(read)}: is it the one that was ordered?"
            return Hit("info", "look-alike", field, name, told)
        return None

    def _short(self, field: str, name: bytes) -> Hit | None:
        if name[0] != 1 or self.facts.suffixes.section(name[2:]) != "ICANN":
            return None
        told = "is very short: is it whole?"
        return Hit("info", "short-name", field, name, told)


@cache
def bundled_known() -> Known:
    """The bundled facts, made ready."""
    return Known(bundled())


def known_with(popular: Path | None) -> Known:
    """The facts with the operator's own list of popular names, if any. Raises InputFaults."""
    return bundled_known() if popular is None else Known(with_popular(popular))
