"""Small worlds of orders for hypothesis: so small that everything in them collides."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from geodns.orders.loaded import LoadedOrder
from tests.policy.making import order
from tests.properties.oracle import Law, Where

START = datetime(2026, 1, 1, tzinfo=UTC)

labels = st.sampled_from(["a", "b", "ab", "ba", "a-b", "x" * 63])
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
some_names = st.lists(names, max_size=3, unique=True).map(tuple)
instants = st.integers(-3, 3).map(lambda hours: START + timedelta(hours=hours))

blocks4 = st.builds(
    lambda low, length: str(ip_network((0xC0000200 | low, length), strict=False)),
    st.integers(0, 15),
    st.sampled_from([0, 8, 24, 28, 29, 30, 31, 32]),
)
blocks6 = st.builds(
    lambda low, high, length: str(
        ip_network((0x20010DB8 << 96 | high << 64 | low, length), strict=False)
    ),
    st.integers(0, 7),
    st.integers(0, 3),
    st.sampled_from([0, 32, 62, 63, 64, 65, 125, 126, 127, 128]),
)
addresses4 = st.integers(0, 15).map(lambda low: f"192.0.2.{low}")
addresses6 = st.builds(
    lambda high, low: f"2001:db8:0:{high:x}::{low:x}" if low else f"2001:db8:0:{high:x}::",
    st.integers(0, 3),
    st.integers(0, 7),
).map(lambda text: str(ip_network(text).network_address))
far = st.sampled_from(["198.51.100.7", "0.0.0.0", "255.255.255.255", "2a00::1", "::", "ffff::"])
some_addresses = st.lists(addresses4 | addresses6 | far, max_size=3).map(tuple)

PLACES = ["IT", "FR", "RE", "US", "US-CA", "US-TX", "AS3269", "AS64500", "EU", "FR+overseas", "XK"]
some_places = st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True).map(tuple)

LOCATIONS: list[tuple[str | None, tuple[str, ...]]] = [
    ("IT", ()),
    ("FR", ()),
    ("RE", ()),
    ("SM", ()),
    ("US", ()),
    ("US", ("US-CA",)),
    ("US", ("US-NV",)),
    ("XK", ()),
    ("DE", ()),
    (None, ()),
]
locations = st.sampled_from(LOCATIONS)
wheres = st.builds(
    lambda location, asn, stale: Where(location[0], location[1], asn, stale),
    locations,
    st.sampled_from([0, 3269, 64500, 65000]),
    st.booleans(),
)


@st.composite
def laws(draw: st.DrawFn, ident: str, others: Sequence[str] = ()) -> Law:
    targets = {
        "domains": draw(some_names),
        "exact": draw(some_names),
        "below": draw(some_names),
        "networks": tuple(dict.fromkeys(draw(st.lists(blocks4 | blocks6, max_size=3)))),
    }
    return Law(
        ident=ident,
        effective=draw(instants),
        expires=draw(st.none() | instants),
        status=draw(st.sampled_from(["active"] * 4 + ["shadow", "draft", "suspended", "lifted"])),
        supersedes=tuple(draw(st.lists(st.sampled_from(others), max_size=1))) if others else (),
        exempt=draw(some_names),
        places=draw(st.none() | some_places),
        except_=draw(st.just(()) | some_places),
        on_unknown=draw(st.sampled_from(["allow", "block"])),
        on_stale=draw(st.sampled_from(["keep", "allow"])),
        **targets,
    )


@st.composite
def books(draw: st.DrawFn, largest: int = 5) -> tuple[Law, ...]:
    """A book of laws. Ids are not in the order in which they were made."""
    idents = draw(st.permutations([f"o-{letter}" for letter in "abcde"[:largest]]))
    count = draw(st.integers(0, largest))
    return tuple(draw(laws(ident, idents)) for ident in idents[:count])


def load(law: Law) -> LoadedOrder:
    return order(
        law.ident,
        domains=law.domains,
        exact=law.exact,
        below=law.below,
        exempt=law.exempt,
        networks=law.networks,
        places=law.places,
        except_=law.except_,
        status=law.status,
        effective=law.effective,
        expires=law.expires,
        supersedes=law.supersedes,
        on_unknown=law.on_unknown,
        on_stale=law.on_stale,
    )


@dataclass(frozen=True)
class World:
    """A book of laws, an emergency list, and questions to put to them."""

    laws: tuple[Law, ...]
    never: tuple[str, ...]
    questions: tuple[tuple[Where, str, tuple[str, ...], tuple[str, ...]], ...]


def roll_world(seed: int, questions: int = 40) -> World:
    """A crowded world from a seed: hypothesis' own drawing takes ten times as long."""
    roll = random.Random(seed)

    def name() -> str:
        return ".".join(roll.choice(("a", "b", "ab")) for _ in range(roll.choice((1, 2, 2, 3, 4))))

    def some(make: object, most: int) -> tuple[str, ...]:
        assert callable(make)
        return tuple(dict.fromkeys(make() for _ in range(roll.randint(0, most))))

    def block() -> str:
        if roll.random() < 0.6:
            low, bits, base = (
                roll.randint(0, 15),
                roll.choice((0, 24, 28, 29, 30, 31, 32)),
                0xC0000200,
            )
            return str(ip_network((base | low, bits), strict=False))
        low, bits = roll.randint(0, 7), roll.choice((0, 32, 64, 65, 125, 126, 127, 128))
        return str(ip_network((0x20010DB8 << 96 | roll.randint(0, 1) << 64 | low, bits), False))

    def address() -> str:
        if roll.random() < 0.6:
            return f"192.0.2.{roll.randint(0, 15)}"
        return str(ip_address(0x20010DB8 << 96 | roll.randint(0, 2) << 64 | roll.randint(0, 7)))

    def places() -> tuple[str, ...]:
        return tuple(roll.sample(PLACES, roll.choice((1, 1, 2, 3))))

    idents = [f"o-{letter}" for letter in "abcdef"]
    roll.shuffle(idents)
    laws = tuple(
        Law(
            ident=ident,
            effective=START + timedelta(hours=roll.choice((-3, -3, -2, -1, 0, 1))),
            expires=roll.choice((None, None, None, START, START + timedelta(hours=2))),
            status=roll.choice(("active",) * 6 + ("shadow", "draft")),
            supersedes=(roll.choice(idents),) if roll.random() < 0.1 else (),
            domains=some(name, 3),
            exact=some(name, 2),
            below=some(name, 2),
            exempt=some(name, 2) if roll.random() < 0.3 else (),
            networks=some(block, 3),
            places=None if roll.random() < 0.2 else places(),
            except_=places() if roll.random() < 0.2 else (),
            on_unknown=roll.choice(("allow", "block")),
            on_stale=roll.choice(("keep", "keep", "allow")),
        )
        for ident in idents[: roll.randint(1, 6)]
    )
    where = [
        Where(*roll.choice(LOCATIONS), roll.choice((0, 3269, 64500, 65000)), roll.random() < 0.3)
        for _ in range(questions)
    ]
    asked = []
    for each in where:
        question = name()
        aliases = tuple(alias for alias in some(name, 2) if alias != question)
        asked.append((each, question, aliases, some(address, 2)))
    never = (name(),) if roll.random() < 0.3 else ()
    return World(laws, never, tuple(asked))
