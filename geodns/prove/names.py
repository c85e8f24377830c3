"""The check of names: what orders name is ruled on, and nothing near it or far from it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random

from geodns.model.name import ROOT, ancestors, from_labels, labels, to_text
from geodns.policy.rule import Exemption
from geodns.prove.naive import Naive
from geodns.serve.inforce import InForce

NEAR = 1_000
"""Targets whose neighbours are looked at, drawn at random where there are more."""
NETWORKS = 200
"""Order networks whose edges are looked at, drawn likewise."""
_WELL_KNOWN = (
    "google.com", "youtube.com", "facebook.com", "instagram.com", "wikipedia.org", "whatsapp.com",
    "reddit.com", "amazon.com", "microsoft.com", "apple.com", "cloudflare.com", "github.com",
    "netflix.com", "linkedin.com", "office.com", "bing.com", "live.com", "mozilla.org",
    "debian.org", "python.org", "iana.org", "icann.org", "ripe.net", "un.org", "europa.eu",
    "who.int", "docs.google.com", "s3.amazonaws.com", "github.io", "blogspot.com",
    "wordpress.com", "cloudfront.net", "akamaiedge.net", "fastly.net", "azureedge.net",
    "herokuapp.com", "pages.dev", "t.co", "bit.ly", "archive.org",
)  # fmt: skip
POPULAR = tuple(from_labels([label.encode() for label in text.split(".")]) for text in _WELL_KNOWN)
"""Names that no order may touch unless it says so; a sample, and not a ranking."""
_TOLD = 20


@dataclass(slots=True)
class Checked:
    """How much was looked at, and what did not come out as it should.

    names: looked up. rulings: pairs of a name and a scope class that are thereby decided.
    made: rulings that were made for it, names that meet the same rules being ruled on once.
    networks: addresses at the edges of order networks. near, popular: of the names.
    """

    names: int = 0
    near: int = 0
    popular: int = 0
    networks: int = 0
    rulings: int = 0
    made: int = 0
    mismatches: list[str] = field(default_factory=list)

    def tell(self, what: str) -> None:
        """Keep a mismatch, as long as there are not too many to read."""
        if len(self.mismatches) < _TOLD:
            self.mismatches.append(what)


def check_names(in_force: InForce, naive: Naive, classes: list[int], random: Random) -> Checked:
    """Rule on every target, its neighbours and popular names, in each of the scope classes."""
    found = Checked()
    indexed = {*naive.claims, *naive.never}
    if in_force.snapshot.names != len(indexed):
        found.tell(
            f"the snapshot has {in_force.snapshot.names} names, the orders have {len(indexed)}"
        )
    if in_force.snapshot.networks != len(naive.networks):
        found.tell(
            f"the snapshot has {in_force.snapshot.networks} networks,"
            f" the orders have {len(naive.networks)}"
        )
    ruled: set[object] = set()
    force = [
        frozenset(
            at
            for at, record in enumerate(in_force.snapshot.in_force)
            if in_force.scopes.applies(each, record.reach)
        )
        for each in classes
    ]
    for sort, name in _names(naive, random):
        found.names += 1
        found.near += sort == "near"
        found.popular += sort == "popular"
        found.rulings += len(classes)
        rules = in_force.snapshot.name_rules(name)
        if sort == "target" and not any(at == 0 for at, _ in rules):
            found.tell(f"{to_text(name)} is in an order and not in the snapshot")
        claims, spared = naive.claims_on(name), naive.spared(name)
        seen = tuple((at == 0, rule) for at, rule in rules), claims, spared
        if seen in ruled:
            continue
        ruled.add(seen)
        expected = frozenset() if spared else naive.on(claims)
        for each, having in zip(classes, force, strict=True):
            found.made += 1
            ruling = in_force.rules.rule_question(name, each)[0]
            _compare(in_force, found, to_text(name), each, ruling.order, expected & having)
    _check_networks(in_force, naive, classes, force, random, found)
    return found


def _compare(
    in_force: InForce,
    found: Checked,
    what: str,
    scope_class: int,
    order: int,
    expected: frozenset[int],
) -> None:
    """The winner must be one of those that ought to block; none may win where none ought to."""
    if (order in expected) if expected else order < 0:
        return
    ids = [record.id for record in in_force.snapshot.in_force]
    ruled = ids[order] if order >= 0 else "allowed"
    owed = ", ".join(sorted(ids[each] for each in expected)) or "allowed"
    found.tell(f"{what} in scope class {scope_class}: ruled {ruled}, expected {owed}")


def _names(naive: Naive, random: Random) -> Iterator[tuple[str, bytes]]:
    targets = sorted({*naive.claims, *naive.never})
    for name in targets:
        yield "target", name
    near = targets if len(targets) <= NEAR else random.sample(targets, NEAR)
    for name in near:
        for other in neighbours(name):
            yield "near", other
    for name in POPULAR:
        yield "popular", name
        yield "popular", b"\x03www" + name


def neighbours(name: bytes) -> Iterator[bytes]:
    """Names that a careless comparison takes for the name: above, below, beside, alike."""
    first, *rest = labels(name)
    yield from list(ancestors(name))[1:]
    yield b"\x0bgeodnsproof" + name if len(name) < 240 else ROOT
    for label in (first + b"x", b"x" + first, first[:-1], first[1:], b"x." + first):
        if 0 < len(label) <= 63 and len(name) - len(first) + len(label) <= 255:
            yield from_labels([label, *rest])
    if rest and len(name) <= 253:
        yield from_labels([first, *rest[:-1], rest[-1] + b"x"][: len(rest) + 1])
        yield from_labels([first, *rest, b"invalid"]) if len(name) < 240 else ROOT


def _check_networks(
    in_force: InForce,
    naive: Naive,
    classes: list[int],
    force: list[frozenset[int]],
    random: Random,
    found: Checked,
) -> None:
    every = sorted({str(one): one for o in naive.orders for one in o.networks}.items())
    for _, network in every if len(every) <= NETWORKS else random.sample(every, NETWORKS):
        first, last = int(network.network_address), int(network.broadcast_address)
        for address in {first, last, first - 1, last + 1}:
            if not 0 <= address < 1 << network.max_prefixlen:
                continue
            packed = address.to_bytes(network.max_prefixlen // 8)
            expected = naive.on_address(packed)
            named = in_force.rules.names_in((), (packed,))
            found.networks += 1
            found.rulings += len(classes)
            for each, having in zip(classes, force, strict=True):
                found.made += 1
                order = -1
                if named is not None:
                    order = in_force.rules.rule_answer(named, each, Exemption()).order
                what = f"an answer with {ip_address(packed)}"
                _compare(in_force, found, what, each, order, expected & having)
