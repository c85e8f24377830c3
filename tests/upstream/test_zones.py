"""Forward zones: other servers for some names."""

from __future__ import annotations

from collections.abc import Callable

from geodns import app
from geodns.model.name import parse
from geodns.settings import Settings
from geodns.upstream.forward import Forwarder
from tests.upstream.mock import Asked, Upstream
from tests.upstream.test_stream import ask


def says(octet: int) -> Callable[[Asked], None]:
    return lambda asked: asked.reply(address=bytes((192, 0, 2, octet)))


async def asked_of(forwarder: Forwarder, name: str) -> int:
    response = await ask(forwarder, parse(name) + b"\x00\x01\x00\x01")
    return response.addresses[0][-1]


async def test_the_longest_zone_wins_and_names_are_compared_by_label() -> None:
    async with Upstream(says(1)) as usual, Upstream(says(2)) as corp, Upstream(says(3)) as lab:
        zones = {parse("corp.example"): [corp.text], parse("lab.corp.example"): [lab.text]}
        forwarder = Forwarder([usual.text], 20.0, 1, 10, zones=zones)
        try:
            found = {
                name: await asked_of(forwarder, name)
                for name in (
                    "example",
                    "www.example",
                    "notcorp.example",
                    "corp.example",
                    "www.corp.example",
                    "WWW.Corp.Example",
                    "lab.corp.example",
                    "a.b.lab.corp.example",
                    "notlab.corp.example",
                )
            }
            assert list(found.values()) == [1, 1, 1, 2, 2, 2, 3, 3, 2]
            assert set(forwarder.apart) == set(zones)
        finally:
            forwarder.close()


async def test_a_server_of_several_rows_is_one_server() -> None:
    async with Upstream(says(1)) as usual:
        zones = {parse("corp.example"): [usual.text]}
        forwarder = Forwarder([usual.text], 20.0, 1, 10, zones=zones)
        try:
            assert await asked_of(forwarder, "www.corp.example") == 1
            assert forwarder._row.servers[0] is forwarder.row_of(parse("corp.example")).servers[0]
            assert forwarder._row.servers[0].answers == 1
        finally:
            forwarder.close()


async def test_only_a_zone_at_or_below_a_local_zone_opens_it() -> None:
    forwarder = Forwarder([], 20.0, 1, 10, zones={parse("168.192.in-addr.arpa"): ["::1"]})
    local = parse("168.192.in-addr.arpa")
    assert forwarder.is_apart(parse("1.2.168.192.in-addr.arpa"), local)
    assert not forwarder.is_apart(parse("1.10.in-addr.arpa"), parse("10.in-addr.arpa"))
    above = Forwarder([], 20.0, 1, 10, zones={parse("arpa"): ["::1"]})
    assert not above.is_apart(parse("1.2.168.192.in-addr.arpa"), local)


def test_the_settings_reach_the_forwarder() -> None:
    upstream = {
        "servers": ["192.0.2.1", "tls://192.0.2.2#dns.example"],
        "zones": [{"name": "Corp.example", "servers": ["192.0.2.3"]}],
        "case": "random",
        "cookies": True,
        "ca": None,
    }
    settings = Settings.model_validate({"upstream": upstream}).model_dump(mode="json")
    forwarder = app.make_forwarder(settings["upstream"], 7)
    assert forwarder.servers == ("192.0.2.1:53", "tls://192.0.2.2:853#dns.example")
    assert forwarder.apart == (parse("corp.example"),)
    assert (forwarder.misses, forwarder.random_case) == (7, True)
    jars = [server.jar is not None for server in forwarder._row.servers]
    assert jars == [True, False]  # nobody can forge what comes over TLS
