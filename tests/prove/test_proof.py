"""The proof says what is so, and notices what is not: every part of it is made to fail once."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from random import Random
from typing import Any

import pytest

from geodns.locate.build import build_places
from geodns.locate.table import PlaceTable
from geodns.model.name import ancestors, to_text
from geodns.orders.loaded import LoadedOrder
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot
from geodns.prove.names import neighbours
from geodns.prove.proof import prove
from geodns.prove.wire import Heard, ask_all, questions
from geodns.serve.inforce import InForce
from tests.policy.making import NOW, order, wire

FEED = "127.39.0.0/16,IT\n127.33.0.0/16,FR\n127.44.0.0/16,GB\n2001:db8:39::/48,IT\n127.50.0.0/16,\n"
ORDERS = [
    order("it-a", domains=["a.example", "c.example"], exempt=["free.a.example"]),
    order("fr-b", places=["FR"], exact=["a.example"], below=["b.example"]),
    order("gb-n", places=["GB"], networks=["203.0.113.0/24"], on_unknown="block"),
    order("it-s", domains=["shadow.example"], status="shadow"),
    order("all", places=None, domains=["everywhere.example"], except_=["FR"]),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> PlaceTable:
    folder = tmp_path_factory.mktemp("places")
    feed = folder / "feed.csv"
    feed.write_text(FEED)
    return PlaceTable.open(build_places([], [feed], folder / "places"))


def force(places: PlaceTable, orders: list[LoadedOrder], never: list[str] | None = None) -> InForce:
    snapshot = compile_snapshot(orders, NOW, [wire(name) for name in never or []])
    return InForce(Snapshot(snapshot), places)


def proof(in_force: InForce, orders: list[LoadedOrder], **more: Any) -> dict[str, Any]:
    return prove(in_force, orders, NOW, "0", sample=more.pop("sample", 400), **more)


def test_it_lists_just_the_prefixes_of_each_place(places: PlaceTable) -> None:
    document = proof(force(places, ORDERS), ORDERS, listed=True)
    assert document["holds"], document["mismatches"]
    told = {each["order"]: each for each in document["orders"]}
    (group,) = told["it-a"]["groups"]
    assert (group["place"], group["source"], group["basis"]) == ("IT", "feed.csv", "place")
    assert group["ipv4"]["list"] == ["127.39.0.0/16"]
    assert group["ipv6"]["list"] == ["2001:db8:39::/48"]
    assert told["it-a"]["in_force"]["ipv4"]["special"] == ["127.0.0.0/8"]
    assert told["gb-n"]["unknown_clients"]
    assert {group["basis"] for group in told["gb-n"]["groups"]} == {"place", "unknown"}
    assert told["it-s"]["shadow"]


def test_all_that_is_walked_is_either_in_force_or_not(places: PlaceTable) -> None:
    document = proof(force(places, ORDERS[:1]), ORDERS[:1])
    for family, walked in document["walked"].items():
        here = document["orders"][0]["in_force"][family]
        quiet = walked["no_order"]
        assert here["networks"] + quiet["networks"] == walked["networks"]
        assert here["addresses"] + quiet["addresses"] == walked["addresses"]


def test_subdivisions_and_networks_of_operators_are_told_apart(tmp_path: Path) -> None:
    geo = Path(__file__).parent.parent / "geo"
    databases = [geo / "city.mmdb", geo / "asn.mmdb"]
    places = PlaceTable.open(build_places(databases, [], tmp_path))
    orders = [
        order("us-ca", places=["US-CA"], domains=["ca.example"]),
        order("us-cb", places=["US-CA"], domains=["cb.example"], on_unknown="block"),
        order("as-it", places=["AS3269"], domains=["as.example"]),
    ]
    document = proof(force(places, orders), orders)
    assert document["holds"], document["mismatches"]
    groups = {
        each["order"]: {(group["place"], group["basis"]) for group in each["groups"]}
        for each in document["orders"]
    }
    assert groups["us-ca"] == {("US-CA", "place")}
    # Who is in the United States and nobody knows where, or cannot be located at all.
    assert groups["us-cb"] == {("US-CA", "place"), ("US", "unknown"), ("unknown", "unknown")}
    assert groups["as-it"] == {("AS3269", "place")}
    assert document["fast_path_agrees"] is None


def test_the_emergency_list_is_part_of_what_is_expected(places: PlaceTable) -> None:
    assert proof(force(places, ORDERS, ["a.example"]), ORDERS)["holds"]


def test_only_the_orders_asked_for_are_told_of(places: PlaceTable) -> None:
    document = proof(force(places, ORDERS), ORDERS, wanted=["fr-b"])
    assert [each["order"] for each in document["orders"]] == ["fr-b"]


def lost(orders: list[LoadedOrder], at: int, **changes: Any) -> list[LoadedOrder]:
    return [replace(each, **changes) if n == at else each for n, each in enumerate(orders)]


@pytest.mark.parametrize(
    ("at", "changes", "told"),
    [
        (0, {"domains": [wire("a.example")]}, "the snapshot has"),
        (0, {"domains": [*ORDERS[0].domains, wire("new.example")]}, "not in the snapshot"),
        (0, {"exempt": ()}, "the snapshot has"),
        (1, {"exact": (), "domains": [wire("a.example")]}, "a.example"),
        (2, {"networks": ()}, "the snapshot has 1 networks"),
        (2, {"networks": (ip_network("203.0.113.0/25"),)}, "203.0.113.128"),
    ],
)
def test_a_snapshot_that_is_not_the_order_files_is_noticed(
    places: PlaceTable, at: int, changes: dict[str, Any], told: str
) -> None:
    document = proof(force(places, ORDERS), lost(ORDERS, at, **changes))
    assert not document["holds"]
    assert any(told in text for text in document["mismatches"])


def test_a_ruling_that_forgets_the_place_is_noticed(
    places: PlaceTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force = force(places, ORDERS)
    monkeypatch.setattr(type(in_force.rules), "_effect", lambda *_: "blocks")
    assert not proof(in_force, ORDERS)["holds"]


def test_clients_that_are_located_wrongly_are_noticed(
    places: PlaceTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force = force(places, ORDERS)
    right = InForce.locate

    def wrong(self: InForce, client: Any) -> Any:
        located = right(self, client)
        return replace(located, scope_class=0)

    monkeypatch.setattr(InForce, "locate", wrong)
    document = proof(in_force, ORDERS)
    assert not document["holds"]
    assert "the order files say" in document["mismatches"][0]


def test_neighbours_are_names_and_not_the_name() -> None:
    for text in ("a.example", "x.y.z.example", "a" * 63 + ".example", ".".join(["a" * 60] * 4)):
        name = wire(text)
        for other in neighbours(name):
            assert other != name
            assert len(other) <= 255
            assert list(ancestors(other)) is not None
            assert to_text(other)


class Server:
    """Says what it ought to, but for what ``change`` makes of it."""

    def __init__(self, in_force: InForce, change: Any = lambda order: order) -> None:
        self.in_force, self.change = in_force, change

    def ask(self, name: bytes, client: Any) -> Heard:
        from geodns.prove.wire import _owed

        order = self.change(_owed(self.in_force, client, name))
        return Heard("NXDOMAIN" if order else "NOERROR", order)


def test_every_place_is_asked_from_and_every_order_for(places: PlaceTable) -> None:
    in_force = force(places, ORDERS)
    asked = questions(in_force, ORDERS, [], [], Random(1))
    assert {question.place for question in asked} >= {"IT", "FR", "GB", "unknown"}
    assert {question.owed for question in asked} >= {"it-a", "fr-b", "all", None}
    result = ask_all(asked, Server(in_force).ask, lambda done, total: None)
    assert (result["asked"], result["wrong"]) == (len(asked), 0)
    assert result["blocked"] + result["not_blocked"] == result["asked"]


@pytest.mark.parametrize(
    "change", [lambda order: None, lambda order: order or "it-a", lambda order: order and "other"]
)
def test_a_server_that_says_otherwise_is_noticed(places: PlaceTable, change: Any) -> None:
    in_force = force(places, ORDERS)
    asked = questions(in_force, ORDERS, [], [], Random(1))
    result = ask_all(asked, Server(in_force, change).ask, lambda done, total: None)
    assert result["wrong"] and result["mismatches"]


def test_only_from_the_addresses_given(places: PlaceTable) -> None:
    given = [IPv4Address("127.39.0.1"), IPv4Address("127.33.0.1")]
    asked = questions(force(places, ORDERS), ORDERS, ["it-a"], given, Random(1))
    assert {question.address for question in asked} == set(given)
    assert {question.owed for question in asked} <= {"it-a", "fr-b", None}
