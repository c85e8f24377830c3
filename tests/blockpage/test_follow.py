"""Names that no order names, but that lead to one: by an alias or by an address."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import dnslib
import pytest

from geodns.blockpage import follow
from geodns.blockpage.answer import Answers
from geodns.blockpage.follow import Follower
from geodns.model.name import to_text
from geodns.model.response import Response, read_response
from geodns.serve.inforce import InForce
from geodns.upstream.forward import Forwarder, UpstreamFailure
from tests.blockpage.test_answer import FRENCH, ITALIAN, Outline, request, settings, text
from tests.policy.making import order
from tests.serve.test_inforce import in_force

ALIASED = order("aliased", domains=["blocked.example"], exempt=["free.example"], text="Inibito.")
NETWORK = order("network", networks=["192.0.2.0/24", "2001:db8:f::/48"], text="Rete inibita.")
ZONE = """
mirror.example. 60 IN CNAME www.blocked.example.
free.example. 60 IN CNAME www.blocked.example.
www.blocked.example. 60 IN A 198.51.100.1
address.example. 60 IN A 192.0.2.9
six.example. 60 IN AAAA 2001:db8:f::1
plain.example. 60 IN A 198.51.100.2
"""


class Upstreams:
    """Stands for the forwarder: answers from the zone, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.closed = False
        self.fails = False
        self.hangs = False

    async def resolve(self, question: bytes, **_: Any) -> Response:
        name, qtype = to_text(question[:-4]), int.from_bytes(question[-4:-2])
        self.asked.append((name, qtype))
        if self.hangs:
            await asyncio.sleep(60)
        if self.fails:
            raise UpstreamFailure("no server answers", 22)
        asked = dnslib.DNSRecord.question(name, dnslib.QTYPE[qtype])
        answer = asked.reply()
        owner = name
        for record in dnslib.RR.fromZone(ZONE):
            if str(record.rname).rstrip(".") == owner and record.rtype in (qtype, 5):
                answer.add_answer(record)
                owner = str(record.rdata).rstrip(".")
        return read_response(bytes(answer.pack()))

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> InForce:
    return in_force(tmp_path_factory.mktemp("page"), ALIASED, NETWORK)


@pytest.fixture
def upstreams() -> Upstreams:
    return Upstreams()


@pytest.fixture
def answers(orders: InForce, upstreams: Upstreams) -> Answers:
    found = Answers(settings(), orders)
    found.follower = Follower(cast(Forwarder, upstreams))
    return found


@pytest.mark.parametrize(
    ("host", "ident", "told"),
    [
        ("mirror.example", "aliased", "This name leads to www.blocked.example, which"),
        ("address.example", "network", "This name leads to an address that the order names."),
        ("six.example", "network", "This name leads to an address that the order names."),
    ],
)
async def test_what_leads_to_an_order_is_told_of_it(
    answers: Answers, host: str, ident: str, told: str
) -> None:
    reply = await answers.answer(request(host))
    assert reply.status == 451
    shown = Outline(text(reply)).text
    assert ident in shown
    assert told in shown
    assert (await answers.answer(request(host, FRENCH))).status == 421


@pytest.mark.parametrize("host", ["plain.example", "free.example", "nothing.example"])
async def test_what_leads_nowhere_is_not_blocked(answers: Answers, host: str) -> None:
    assert (await answers.answer(request(host))).status == 421


async def test_blocked_names_addresses_and_local_names_are_not_asked_for(
    answers: Answers, upstreams: Upstreams
) -> None:
    for host in ("blocked.example", "192.0.2.9", "localhost", "x.onion", "1.168.192.in-addr.arpa"):
        await answers.answer(request(host))
    assert upstreams.asked == []


async def test_only_who_may_ask_the_resolver_makes_the_page_ask(
    answers: Answers, upstreams: Upstreams
) -> None:
    for peer in ("198.51.100.7", "2001:db8::1"):
        assert (await answers.answer(request("mirror.example", peer))).status == 421
    hidden = request("mirror.example", "192.0.2.1", x_forwarded_for=("unknown",))
    assert (await answers.answer(hidden)).status == 421
    assert upstreams.asked == []
    mapped = request("mirror.example", f"::ffff:{ip_address(ITALIAN)}")
    assert (await answers.answer(mapped)).status == 451


async def test_answers_are_kept(answers: Answers, upstreams: Upstreams) -> None:
    for _ in range(5):
        assert (await answers.answer(request("mirror.example"))).status == 451
    assert upstreams.asked == [("mirror.example", 1)]


async def test_upstreams_that_fail_or_hang_give_the_neutral_page(
    answers: Answers, upstreams: Upstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "BOUND", 0.05)
    upstreams.fails = True
    assert (await answers.answer(request("mirror.example"))).status == 421
    upstreams.fails, upstreams.hangs = False, True
    assert (await answers.answer(request("mirror.example"))).status == 421
    upstreams.hangs = False
    assert (await answers.answer(request("mirror.example"))).status == 451


async def test_an_order_that_discloses_nothing_does_not_tell_the_way(tmp_path: Path) -> None:
    silent = order("silent", domains=["blocked.example"])
    answers = Answers(settings(), in_force(tmp_path, silent))
    answers.follower = Follower(cast(Forwarder, Upstreams()))
    reply = await answers.answer(request("mirror.example"))
    assert reply.status == 451
    assert "blocked.example" not in text(reply)
