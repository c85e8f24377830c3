"""Snapshot and place tables together: locating, scope classes, ECS scopes."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geodns.locate.build import build_places
from geodns.locate.client import Client, client_from_ecs, client_from_peer, read_ecs
from geodns.locate.table import PlaceTable
from geodns.orders.loaded import LoadedOrder
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve.inforce import InForce
from tests.policy.making import NOW, order
from tests.scenarios.asking import ecs_option

GEO = Path(__file__).parent.parent / "geo"
FEED = """
10.0.0.0/8,FR
10.1.0.0/16,IT
10.1.4.0/22,SM
10.1.5.0/24,IT
10.2.0.0/15,IT
10.128.0.0/9,US,US-CA
10.192.0.0/10,US,US-TX
10.224.0.0/11,
2001:db8::/32,IT
2001:db8:1::/48,FR
"""


def in_force(folder: Path, *orders: LoadedOrder, databases: tuple[str, ...] = ()) -> InForce:
    feed = folder / "feed.csv"
    feed.write_text(FEED)
    paths = [GEO / each for each in databases]
    places = PlaceTable.open(build_places(paths, [feed], folder / "places"))
    return InForce(Snapshot(compile_snapshot(orders, NOW)), places)


def peer(text: str) -> Client:
    return client_from_peer(ip_address(text).packed)


def ecs(text: str) -> Client:
    return client_from_ecs(read_ecs(ecs_option(text)))


@pytest.fixture(scope="module")
def italy_and_california(tmp_path_factory: pytest.TempPathFactory) -> InForce:
    return in_force(
        tmp_path_factory.mktemp("in-force"),
        order("it", domains=["a"], places=["IT"]),
        order("us", domains=["b"], places=["US-CA"]),
        order("any", domains=["c"], places=["IT"], on_unknown="block"),
    )


def applying(here: InForce, scope_class: int) -> set[str]:
    return {
        record.id
        for record in here.snapshot.orders
        if here.scopes.applies(scope_class, record.reach)
    }


@pytest.mark.parametrize(
    ("address", "country", "matched", "expected"),
    [
        ("10.1.0.1", "IT", 16, {"it", "any"}),
        ("10.1.4.1", "SM", 22, set()),
        ("10.1.5.1", "IT", 24, {"it", "any"}),
        ("10.9.9.9", "FR", 8, set()),
        ("10.128.0.1", "US", 9, {"us"}),
        ("10.192.0.1", "US", 10, set()),
        ("10.224.0.1", None, 0, {"any"}),
        ("192.0.2.1", None, 0, {"any"}),
        ("::ffff:10.1.0.1", "IT", 16, {"it", "any"}),
        ("2001:db8::1", "IT", 32, {"it", "any"}),
        ("2001:db8:1::1", "FR", 48, set()),
        ("2001:db9::1", None, 0, {"any"}),
    ],
)
def test_locate(
    italy_and_california: InForce,
    address: str,
    country: str | None,
    matched: int,
    expected: set[str],
) -> None:
    located = italy_and_california.locate(peer(address))
    assert located.location.country == country
    if country is not None:
        assert located.matched == matched
    else:
        assert located.location.why
    assert applying(italy_and_california, located.scope_class) == expected
    assert not located.spans


def test_a_block_that_spans_classes_is_nowhere(italy_and_california: InForce) -> None:
    located = italy_and_california.locate(ecs("10.0.0.0/15"))
    assert located.spans
    assert located.location.country is None
    assert "/15" in (located.location.why or "")
    assert applying(italy_and_california, located.scope_class) == {"any"}


def test_a_block_of_one_class_is_where_it_is(italy_and_california: InForce) -> None:
    located = italy_and_california.locate(ecs("10.2.0.0/15"))
    assert not located.spans
    assert located.location.country == "IT"


def test_a_teredo_prefix_without_its_client_is_nowhere(italy_and_california: InForce) -> None:
    located = italy_and_california.locate(ecs("2001:0:a01:1::/64"))
    assert located.spans
    assert applying(italy_and_california, located.scope_class) == {"any"}


addresses4 = st.builds(
    lambda net, host: str(ip_address(int(ip_network(net)[0]) + host)),
    st.sampled_from(
        ["10.0.0.0/32", "10.1.0.0/32", "10.1.4.0/30", "10.1.5.0/30", "10.3.255.0/24",
         "10.127.255.0/24", "10.128.0.0/30", "10.224.0.0/30", "9.255.255.0/24", "11.0.0.0/32"]
    ),
    st.integers(0, 1024),
)  # fmt: skip
HOSTS = 6  # addresses of a block that are looked at, besides its edges


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(addresses4, st.randoms(use_true_random=False))
def test_the_scope_is_uniform_and_could_not_be_larger(
    italy_and_california: InForce, text: str, roll: object
) -> None:
    here = italy_and_california
    client = peer(text)
    scope = here.ecs_scope(client)
    mine = here.locate(client).scope_class
    block = ip_network(f"{text}/{scope}", strict=False)
    rows = [line.split(",")[0] for line in FEED.split() if ":" not in line]
    edges = {int(ip_network(row)[at]) for row in rows for at in (0, -1)}
    edges |= {edge + step for edge in edges for step in (-1, 1)}
    inside = [edge for edge in edges if edge in range(int(block[0]), int(block[-1]) + 1)]
    for address in (int(block[0]), int(block[-1]), *inside):
        assert here.locate(peer(str(ip_address(address)))).scope_class == mine
    if scope:
        above = ip_network(f"{text}/{scope - 1}", strict=False)
        candidates = [e for e in edges if e in range(int(above[0]), int(above[-1]) + 1)]
        others = {
            here.locate(peer(str(ip_address(address)))).scope_class
            for address in (int(above[0]), int(above[-1]), *candidates)
        }
        assert others != {mine}


def test_scopes_count_from_the_start_of_the_family_they_came_in(
    italy_and_california: InForce,
) -> None:
    scope = italy_and_california.ecs_scope
    assert scope(ecs("10.1.5.0/24")) == 24
    assert scope(ecs("::ffff:10.1.5.0/120")) == 120
    assert scope(ecs("64:ff9b::10.1.5.7/128")) == 120
    assert scope(ecs("2002:a01:500::/40")) == 40
    assert scope(ecs("2001:db8:1::/48")) == 48


def test_without_orders_everything_is_one_class(tmp_path: Path) -> None:
    here = in_force(tmp_path)
    assert len(here.scopes) == 1
    assert here.ecs_scope(peer("10.1.5.1")) == 0
    assert here.locate(ecs("0.0.0.0/1")).scope_class == 0
    assert not here.locate(ecs("0.0.0.0/1")).spans


def test_asn_and_place_together_bound_the_scope(tmp_path: Path) -> None:
    here = in_force(
        tmp_path,
        order("as", domains=["a"], places=["AS3269"]),
        databases=("flat.mmdb", "asn.mmdb"),
    )
    # 5.1.0.0/17 is AS 3269 in one piece, whatever countries are inside.
    assert here.locate(peer("5.1.7.1")).location.country == "SM"
    assert applying(here, here.locate(peer("5.1.7.1")).scope_class) == {"as"}
    assert here.ecs_scope(peer("5.1.7.1")) == 17
    assert applying(here, here.locate(peer("5.1.128.1")).scope_class) == set()
    assert here.locate(peer("5.1.0.1")).asn == 3269


def test_the_asn_is_not_looked_up_where_no_order_names_one(tmp_path: Path) -> None:
    here = in_force(tmp_path, order("it", domains=["a"]), databases=("flat.mmdb", "asn.mmdb"))
    assert here.locate(peer("5.1.0.1")).asn == 0
