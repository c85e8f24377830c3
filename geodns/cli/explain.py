"""``geodns explain`` and ``geodns matrix``: what would be ruled, where, and on what grounds."""

from __future__ import annotations

import asyncio
import ipaddress
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from geodns import app
from geodns.cli.options import Config, Json
from geodns.config import Settings, load_settings
from geodns.console import out
from geodns.errors import Fault, GeodnsError, InputFaults
from geodns.locate.client import Client, client_from_peer
from geodns.locate.table import PlaceTable
from geodns.model import name as names
from geodns.model.message import IN, Response
from geodns.model.place import PlaceFault, country_name, kind, parse_place
from geodns.model.ruling import Ground, Ruling
from geodns.orders.load import Loaded
from geodns.policy.rule import Recorder
from geodns.serve.inforce import InForce, Located

_EFFECT_STYLE = {"blocks": "bold red", "also": "red", "shadow": "yellow", "elsewhere": "dim"}


def explain(
    name: Annotated[str, typer.Argument(help="The name that is asked for.")],
    qtype: Annotated[str, typer.Argument(metavar="[TYPE]", help="Query type.")] = "A",
    *,
    from_: Annotated[
        str, typer.Option("--from", metavar="IT|IP", help="Country or address of the client.")
    ],
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="TIME", help="Instant to rule at, ISO 8601 (default: now, UTC)."
        ),
    ] = None,
    resolve: Annotated[
        bool,
        typer.Option(
            "--resolve", help="Ask [upstream] for the answer and rule on it as the server does."
        ),
    ] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show the ruling on a name for a client, step by step, from the code that the server runs.

    Without --resolve only the question is ruled on: aliases and addresses need the answer.

    Example: geodns explain kickasstorrents.to --from IT
    """
    settings = load_settings(config)
    asked = _parse_name(name)
    kind_of_query = _parse_type(qtype)
    instant = _parse_instant(at)
    with out.progress("reading orders") as advance:
        loaded = app.load_orders(settings, advance)
    with out.progress("building the place tables (once per edition)") as advance:
        places = app.open_places(settings, advance)
    in_force = app.compile_in_force(settings, loaded, places, instant)
    client = client_in(places, from_)
    located = in_force.locate(client)
    recorder = Recorder([], set())
    ruling, exemption = in_force.rules.rule_question(asked, located.scope_class, recorder)
    response: Response | None = None
    if resolve and not ruling.block:
        response = _ask(settings, asked, kind_of_query)
        found = in_force.rules.names_in(response.aliases, response.addresses)
        if found is not None:
            ruling = in_force.rules.rule_answer(found, located.scope_class, exemption, recorder)
    facts = _facts(in_force, located, ruling, recorder.grounds, asked, qtype.upper(), instant)
    facts["answer"] = None if response is None else _answer(response)
    facts["not_in_force"] = _not_in_force(in_force, loaded, asked)
    facts["faults"] = [fault.as_json() for fault in loaded.faults]
    if json:
        out.document(facts)
        return
    for fault in loaded.faults:
        out.line(f"warning: {fault}", style="yellow")
    _show(facts, from_)


def matrix(
    name: Annotated[list[str], typer.Argument(help="Names to look at.")],
    from_: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="IT,FR|IP",
            help="Places or addresses, several times or with commas. "
            "Default: every country that an order in force names, and one that none does.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Instant to rule at, ISO 8601 (default: now)."),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show where which names are blocked, and by which order.

    Example: geodns matrix kickasstorrents.to nitroflare.com --from IT,FR,GB,SM
    """
    settings = load_settings(config)
    asked = [_parse_name(text) for text in name]
    instant = _parse_instant(at)
    loaded = app.load_orders(settings)
    with out.progress("building the place tables (once per edition)") as advance:
        places = app.open_places(settings, advance)
    in_force = app.compile_in_force(settings, loaded, places, instant)
    wanted = [part for text in from_ or [] for part in text.split(",") if part.strip()]
    rows = []
    for place in wanted or _places_of(in_force):
        located = in_force.locate(client_in(places, place))
        cells = []
        for one in asked:
            recorder = Recorder([], set())
            ruling, _ = in_force.rules.rule_question(one, located.scope_class, recorder)
            cells.append((one, ruling, recorder.grounds))
        rows.append((place, located, cells))
    if json:
        out.document(
            {
                "digest": in_force.snapshot.digest,
                "at": instant.isoformat(),
                "rows": [
                    {
                        "place": place,
                        "location": _location(in_force, located),
                        "name": names.to_text(one),
                        "ruling": "block" if ruling.block else "allow",
                        "order": _order_id(in_force, ruling),
                        "grounds": [_ground(in_force, ground) for ground in grounds],
                    }
                    for place, located, cells in rows
                    for one, ruling, grounds in cells
                ],
            }
        )
        return
    for fault in loaded.faults:
        out.line(f"warning: {fault}", style="yellow")
    out.table(
        ["from", "located in", *(names.to_text(one) for one in asked)],
        [
            [
                place,
                located.location.country or "unknown",
                *(_cell(in_force, ruling, grounds) for _, ruling, grounds in cells),
            ]
            for place, located, cells in rows
        ],
        styles=lambda cell: "red" if cell.startswith("blocked") else None,
    )


def client_in(places: PlaceTable, where: str) -> Client:
    """The client that ``--from`` means: an address as given, or one of a country's.

    Raises InputFaults for anything else, and for a country that no source places anybody in.
    """
    try:
        return client_from_peer(ipaddress.ip_address(where.strip()).packed)
    except ValueError:
        pass
    try:
        place = parse_place(where)
    except PlaceFault as fault:
        raise InputFaults([Fault(f"--from: {fault}")]) from None
    if kind(place) != "country":
        raise InputFaults([Fault(f"--from: {where!r} is no country; give a country or an address")])
    for version in (4, 6):
        address = places.representative(place, version)
        if address is not None:
            return client_from_peer(address.to_bytes(4 if version == 4 else 16, "big"))
    raise InputFaults([Fault(f"--from: no database or geofeed places any address in {place}")])


def _places_of(in_force: InForce) -> list[str]:
    """Countries that orders in force name, then one that none of them does."""
    reaches = in_force.snapshot.reaches
    named = {
        atom.partition("-")[0]
        for reach in reaches
        for atom in (*(reach.places or ()), *reach.except_)
        if not atom.startswith("AS")
    }
    known = {location.country for location in in_force.places.locations if location.country}
    others = sorted(known - named, key=lambda code: (code != "US", code))
    return [*sorted(named & known), *others[:1]]


def _parse_name(text: str) -> bytes:
    try:
        return names.parse(text)
    except names.NameFault as fault:
        raise InputFaults([Fault(str(fault))]) from None


def _parse_type(text: str) -> int:
    from dnslib import QTYPE

    upper = text.upper()
    if upper.startswith("TYPE") and upper[4:].isdigit() and int(upper[4:]) <= 65535:
        return int(upper[4:])
    try:
        return int(QTYPE.reverse[upper])
    except KeyError:
        raise InputFaults(
            [Fault(f"{text!r} is no query type; write A, AAAA, HTTPS, TYPE65, ...")]
        ) from None


def _parse_instant(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InputFaults(
            [Fault(f"--at: {text!r} is no instant; write 2026-01-31 or 2026-01-31T12:00:00+01:00")]
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _ask(settings: Settings, name: bytes, qtype: int) -> Response:
    from geodns.upstream.forward import Forwarder, TooManyMisses, UpstreamFailure

    upstream = settings.upstream
    if not upstream.servers:
        raise InputFaults([Fault("--resolve needs [upstream] servers in the settings")])

    async def ask() -> Response:
        forwarder = Forwarder(upstream.servers, upstream.timeout, upstream.attempts, 1)
        try:
            question = name + qtype.to_bytes(2, "big") + IN.to_bytes(2, "big")
            return await forwarder.resolve(question, dnssec_ok=False, checking_disabled=False)
        finally:
            forwarder.close()

    try:
        return asyncio.run(ask())
    except (UpstreamFailure, TooManyMisses) as failure:
        raise GeodnsError(f"no upstream gave an answer: {failure}") from None


def _answer(response: Response) -> dict[str, Any]:
    return {
        "rcode": response.rcode,
        "aliases": [names.to_text(alias) for alias in response.aliases],
        "addresses": [str(ipaddress.ip_address(address)) for address in response.addresses],
    }


def _not_in_force(in_force: InForce, loaded: Loaded, name: bytes) -> list[dict[str, Any]]:
    """Orders on file that name the name but rule nothing now: what people ask about first."""
    above = set(names.ancestors(name))
    here = {order.id for order in in_force.snapshot.orders}
    return [
        {"order": one.order.id, "status": one.order.status, "title": one.order.title}
        for one in loaded.orders
        if one.order.id not in here
        and (
            not above.isdisjoint(one.domains)
            or name in one.exact
            or not (above - {name}).isdisjoint(one.below)
        )
    ]


def _order_id(in_force: InForce, ruling: Ruling) -> str | None:
    return in_force.snapshot.orders[ruling.order].id if ruling.block else None


def _cell(in_force: InForce, ruling: Ruling, grounds: list[Ground]) -> str:
    if ruling.block:
        others = sum(1 for ground in grounds if ground.effect == "also")
        return f"blocked by {_order_id(in_force, ruling)}" + (f" (+{others})" if others else "")
    spared = next((g for g in grounds if g.effect in ("shadow", "exempt", "never_block")), None)
    return f"resolves ({spared.effect}: {spared.order})" if spared else "resolves"


def _facts(
    in_force: InForce,
    located: Located,
    ruling: Ruling,
    grounds: list[Ground],
    name: bytes,
    qtype: str,
    at: datetime,
) -> dict[str, Any]:
    """Everything that explain says, JSON-ready."""
    reply = None
    if ruling.block:
        order = in_force.snapshot.orders[ruling.order]
        reply = {
            "action": order.action,
            "ttl": order.ttl,
            "addresses": [str(ipaddress.ip_address(address)) for address in order.addresses],
            "ede": order.ede,
            "text": order.text,
        }
    return {
        "ruling": "block" if ruling.block else "allow",
        "order": _order_id(in_force, ruling),
        "name": names.to_text(name),
        "type": qtype,
        "at": at.isoformat(timespec="seconds"),
        "client": {
            "address": located.client.text(),
            "provenance": located.client.provenance,
            "embedded": located.client.how,
        },
        "location": _location(in_force, located),
        "scope_class": located.scope_class,
        "grounds": [_ground(in_force, ground) for ground in grounds],
        "reply": reply,
        "digest": in_force.snapshot.digest,
        "next_change": in_force.snapshot.next_change,
    }


def _location(in_force: InForce, located: Located) -> dict[str, Any]:
    location = located.location
    client = located.client
    source = in_force.places.sources[location.source] if location.source >= 0 else None
    network = None
    if located.matched:
        kind_of = ipaddress.IPv4Network if client.version == 4 else ipaddress.IPv6Network
        network = str(kind_of((client.address, located.matched), strict=False))
    asn = in_force.places.find_asn(client.version, client.address)[0]
    return {
        "country": location.country,
        "country_name": country_name(location.country) if location.country else None,
        "subdivisions": list(location.subdivisions),
        "asn": asn or None,
        "network": network,
        "source": source.name if source else None,
        "source_kind": source.kind if source else None,
        "source_date": _day(source.built) if source else None,
        "stale": location.source in in_force.stale,
        "why": location.why,
    }


def _ground(in_force: InForce, ground: Ground) -> dict[str, Any]:
    order = next(o for o in in_force.snapshot.orders if o.id == ground.order)
    return {
        "order": ground.order,
        "effect": ground.effect,
        "reason": ground.reason,
        "target": ground.target,
        "kind": ground.kind,
        "via": ground.via,
        "title": order.title,
        "authority": order.authority,
        "authority_kind": order.authority_kind,
        "reference": order.reference or None,
        "jurisdiction": order.jurisdiction,
        "effective": _instant(order.effective, order.timezone),
        "expires": None if order.expires is None else _instant(order.expires, order.timezone),
        "last_good": order.last_good,
    }


def _instant(seconds: float, timezone: str) -> str:
    return datetime.fromtimestamp(seconds, ZoneInfo(timezone)).isoformat()


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _show(facts: dict[str, Any], where: str) -> None:
    client, location = facts["client"], facts["location"]
    embedded = f", embedded ({client['embedded']})" if client["embedded"] else ""
    chosen = "" if where == client["address"] else f", chosen for {where}"
    out.line(f"1 client    {client['address']}{embedded}{chosen}")
    if location["country"]:
        place = " / ".join([location["country"], *location["subdivisions"]])
        asn = f", AS{location['asn']}" if location["asn"] else ""
        stale = " (older than [geoip].max_age_days)" if location["stale"] else ""
        out.line(f"2 location  {place} ({location['country_name']}){asn}")
        out.line(
            f"            network {location['network']},"
            f" {location['source']} of {location['source_date']}{stale}"
        )
    else:
        out.line(f"2 location  unknown: {location['why']}; each order's on_unknown decides")
    out.line(f"3 question  {facts['name']} {facts['type']} at {facts['at']}")
    if facts["answer"] is not None:
        answer = facts["answer"]
        found = ", ".join([*answer["aliases"], *answer["addresses"]]) or "no alias or address"
        out.line(f"  answer    rcode {answer['rcode']}: {found}")
    if not facts["grounds"]:
        out.line("4 grounds   none: no order in force names it")
    else:
        out.line(f"4 grounds   {len(facts['grounds'])}")
    for ground in facts["grounds"]:
        via = f" through {ground['via']}" if ground["via"] else ""
        out.line(
            f"  {ground['effect']:<9} {ground['order']}: {ground['kind']} {ground['target']}{via}",
            style=_EFFECT_STYLE.get(ground["effect"]),
        )
        reference = f", {ground['reference']}" if ground["reference"] else ""
        out.line(
            f"            {ground['authority']} ({ground['authority_kind']}){reference};"
            f" in force since {ground['effective'][:10]}"
            + (f" until {ground['expires'][:10]}" if ground["expires"] else "")
        )
        out.line(f"            {ground['reason']}")
    for order in facts["not_in_force"]:
        out.line(f"  no force  {order['order']} names it too; its status is {order['status']}")
    if facts["ruling"] == "block":
        reply = facts["reply"]
        out.line(f"5 ruling    block by {facts['order']}", style="bold red")
        out.line(f"            reply {reply['action']}, TTL {reply['ttl']} s")
        out.line(f"            EDE {reply['ede']}: {reply['text']}")
    else:
        out.line("5 ruling    allow", style="bold green")
    out.line(f"snapshot    {facts['digest']}")
