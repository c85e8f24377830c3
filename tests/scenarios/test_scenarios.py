"""Runs the scenario files of this folder. CONTRIBUTING: a new trap is a new scenario.

A file is a world: ``orders`` (texts by path), ``zone`` and ``manners`` of the mock upstream,
``settings``, ``geofeed``, ``clients``; common.toml has the defaults. Each ``[[scenario]]`` gets a
fresh server with a cold cache and goes through its ``steps``. A step either has ``change``
(order files to write; an empty text removes one) or asks:

from, ask     one or more clients and questions (``name TYPE [CLASS]``); all combinations
over          udp (default), tcp, both;  edns: announced size, false for none (default 1232)
do cd ad_bit  bits of the query;  ecs: a client subnet to claim
proxy         a client to name in a PROXY header in front; "local" for its LOCAL command
rcode         expected, default NOERROR;  answer: records, in order (default: not looked at)
ede           code, default none; ede_text: part of its text
soa ttl ttl_max    owner of the SOA; smallest TTL of the reply, exactly or at most
options       (code, octets in hexadecimal) of EDNS options to send
json          the EXTRA-TEXT, read as JSON
ecs_scope     scope of the ECS option; default: there must be none
tc ad         default false;  upstream: how many queries the upstream got (default: any)
grounds       "order effect" of all grounds of the ruling, from the code that explain uses
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from geodns.locate.client import client_from_ecs, client_from_peer, read_ecs
from geodns.policy.rule import Recorder
from geodns.upstream.cache import cache_key
from tests.scenarios import asking
from tests.scenarios.asking import Reply
from tests.scenarios.world import Loop, World, running

HERE = Path(__file__).parent
GEO = HERE.parent / "geo"
KEYS = {
    *("from", "ask", "over", "edns", "do", "cd", "ad_bit", "ecs", "rcode", "answer", "ede"),
    *("ede_text", "soa", "ttl", "ttl_max", "ecs_scope", "tc", "ad", "upstream", "grounds"),
    *("change", "why", "options", "json", "proxy"),
}
FILE_KEYS = {
    *("about", "geofeed", "clients", "settings", "orders", "zone", "manners", "scenario"),
    *("databases", "stale"),
}


def _files() -> Iterator[Any]:
    common = tomllib.loads((HERE / "common.toml").read_text())
    for path in sorted(HERE.glob("*.toml")):
        if path.name == "common.toml":
            continue
        file = tomllib.loads(path.read_text())
        assert set(file) <= FILE_KEYS, (path, set(file) - FILE_KEYS)
        merged = {**common, **file}
        for key in ("clients", "settings"):
            merged[key] = {**common[key], **file.get(key, {})}
        for scenario in file["scenario"]:
            assert set(scenario) == {"title", "steps"}, (path, scenario["title"])
            yield pytest.param(merged, scenario, id=f"{path.stem}: {scenario['title']}")


@pytest.mark.usefixtures("twin")
@pytest.mark.parametrize(("file", "scenario"), list(_files()))
def test_scenario(
    file: dict[str, Any], scenario: dict[str, Any], loop: Loop, tmp_path: Path
) -> None:
    with running(
        loop,
        tmp_path,
        orders=file.get("orders", {}),
        geofeed=file["geofeed"],
        zone=file.get("zone", ""),
        manners=file.get("manners", {}),
        settings=file["settings"],
        databases=[GEO / each for each in file.get("databases", [])],
        stale=file.get("stale", []),
    ) as world:
        for number, step in enumerate(scenario["steps"], 1):
            assert set(step) <= KEYS, f"step {number}: {set(step) - KEYS}"
            if "change" in step:
                world.rewrite(step["change"])
                continue
            for client, ask, over in product(
                _several(step["from"]), _several(step["ask"]), _over(step)
            ):
                try:
                    _ask(world, step, file["clients"][client], ask, over)
                except AssertionError as error:
                    raise AssertionError(
                        f"step {number}: {client} asked {ask} over {over}: {error}"
                    ) from error


def _several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _over(step: dict[str, Any]) -> list[str]:
    over = step.get("over", "udp")
    return ["udp", "tcp"] if over == "both" else [over]


def _ask(world: World, step: dict[str, Any], client: str, ask: str, over: str) -> None:
    if ":" in client and "6" not in world.servers:
        return
    name, qtype, *rest = ask.split()
    claimed = asking.ecs_option(step["ecs"]) if "ecs" in step else None
    edns = step.get("edns", 1232)
    options = [(code, bytes.fromhex(data)) for code, data in step.get("options", [])]
    if claimed is not None:
        options.append((8, claimed))
    packet = asking.build(
        name,
        qtype,
        rest[0] if rest else "IN",
        edns=None if edns is False else edns,
        options=b"".join(asking.option(code, data) for code, data in options),
        do=step.get("do", False),
        cd=step.get("cd", False),
        ad=step.get("ad_bit", False),
    )
    before = len(world.upstream.seen)
    header = b""
    if "proxy" in step:
        named = None if step["proxy"] == "local" else step["proxy"]
        header = asking.proxy_header(named, transport=1 if over == "tcp" else 2)
    reply = world.ask(packet, client, stream=over == "tcp", header=header)
    _check(step, reply)
    if "upstream" in step:
        found = len(world.upstream.seen) - before
        assert found == step["upstream"], f"upstream was asked {found} times"
    if "grounds" in step:
        judged = step.get("proxy", client)
        assert _grounds(world, judged, claimed, packet) == set(step["grounds"])


def _check(step: dict[str, Any], reply: Reply) -> None:
    assert reply.rcode == step.get("rcode", "NOERROR"), reply
    if "answer" in step:
        assert reply.answer == step["answer"]
    # That a failure was kept (13) depends on what was asked before.
    found = [code for code, _ in reply.ede if code != 13]
    assert found == ([step["ede"]] if "ede" in step else []), reply.ede
    if "ede_text" in step:
        assert step["ede_text"] in reply.ede[0][1]
    if "json" in step:
        text = reply.ede[0][1]
        assert json.loads(text) == step["json"]
        assert json.dumps(step["json"], separators=(",", ":"), ensure_ascii=False) == text
    if "soa" in step:
        assert reply.soa == (step["soa"] or None)
    ttls = [*reply.ttls, *([reply.soa_ttl] if reply.soa_ttl is not None else [])]
    if "ttl" in step:
        assert min(ttls) == step["ttl"]
    if "ttl_max" in step:
        assert max(ttls, default=0) <= step["ttl_max"]
    scope = step.get("ecs_scope")
    assert (None if reply.ecs is None else reply.ecs[2]) == scope, f"ECS {reply.ecs}"
    assert reply.tc == step.get("tc", False)
    assert reply.ad == step.get("ad", False), "AD"


def _grounds(world: World, client: str, claimed: bytes | None, packet: bytes) -> set[str]:
    """The grounds that explain would show, of the question and of what the cache holds."""
    import ipaddress

    who = client_from_peer(ipaddress.ip_address(client).packed)
    if claimed is not None:
        who = client_from_ecs(read_ecs(claimed))
    rules = world.in_force.rules
    located = world.in_force.locate(who)
    recorder = Recorder([], set())
    end = packet.index(b"\0", 12) + 1
    folded = packet[12:end].lower()
    _, exemption = rules.rule_question(folded, located.scope_class, recorder)
    qtype = int.from_bytes(packet[end : end + 2])
    entry = world.pipeline._truth.cache.get(cache_key(folded, qtype, 1, False, False), 0.0)
    if entry is not None:
        named = rules.names_in(entry.response.aliases, entry.response.addresses)
        if named is not None:
            rules.rule_answer(named, located.scope_class, exemption, recorder)
    return {f"{ground.order} {ground.effect}" for ground in recorder.grounds}
