from __future__ import annotations

import json
from dataclasses import replace

import pytest

from geodns import shipped
from geodns.cli.ask import ExtendedError, Reply
from geodns.cli.demo_oracle import PlainOrder, read_orders
from geodns.cli.demo_table import Cell, complaint, show
from geodns.cli.main import call

ANSWER = Reply("NOERROR", ("x",), ("198.51.100.1",), (), 16, "UDP", 0.001)


@pytest.fixture(scope="module")
def milan() -> PlainOrder:
    orders = read_orders([shipped.orders()])
    return next(order for order in orders if order.id == "it-milano-2022-cloudflare")


def test_a_cell_is_right_only_if_all_of_the_reply_is(milan: PlainOrder) -> None:
    ede = ExtendedError(16, "Censored", f"a court [{milan.id}]")
    block = Reply("NXDOMAIN", (), (), (ede,), 16, "UDP", 0.001)
    free = Cell("a.example", "FR", None, "198.51.100.1", ANSWER)
    blocked = Cell("a.example", "IT", milan, "198.51.100.1", block)
    assert free.right
    assert blocked.right
    for wrong in (
        replace(free, reply=block),
        replace(free, address="198.51.100.2"),
        replace(free, reply=replace(ANSWER, ecs_scope=None)),
        replace(blocked, reply=ANSWER),
        replace(blocked, reply=replace(block, rcode="REFUSED")),
        replace(blocked, reply=replace(block, extended_errors=())),
        replace(blocked, order=replace(milan, id="another")),
        replace(blocked, order=replace(milan, kind="operator")),
        replace(blocked, order=replace(milan, action="nodata")),
    ):
        assert not wrong.right
        assert wrong.name in complaint(wrong)


def test_the_demo_says_why_an_alias_is_blocked(
    milan: PlainOrder, capsys: pytest.CaptureFixture[str]
) -> None:
    free = Cell("mirror.example.net", "FR", None, "198.51.100.1", ANSWER)
    show([free], [milan], ["FR"], 1, ("mirror.example.net", "kickasstorrents.to"))
    shown = capsys.readouterr().out
    assert "blocked as an alias of kickasstorrents.to" in shown
    assert "explain NAME --from IT --resolve" in shown


@pytest.mark.process
def test_the_demo_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["demo", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["right"] is True
    replies = {(reply["name"], reply["country"]): reply for reply in document["replies"]}
    italian = replies["kickasstorrents.to", "IT"]
    assert italian["order"] == "it-milano-2022-cloudflare"
    assert italian["rcode"] == "NXDOMAIN"
    for country in ("SM", "VA", "FR"):
        assert replies["kickasstorrents.to", country]["rcode"] == "NOERROR"
    assert replies["mirror.example.net", "IT"]["order"] == "it-milano-2022-cloudflare"
    assert document["upstream_queries"] < len(document["replies"])
