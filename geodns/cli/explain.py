"""``geodns explain``: the ruling on a name for a client, and its grounds, step by step."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from geodns import app
from geodns.cli import facts as known
from geodns.cli.ask import read_type, type_name
from geodns.cli.options import Config, Json
from geodns.cli.readable import readable
from geodns.cli.resolve import asking, rule
from geodns.config import load_settings
from geodns.console import out

_EFFECT_STYLE = {"blocks": "bold red", "also": "red", "shadow": "yellow", "elsewhere": "dim"}


def explain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that is asked for.")],
    qtype: Annotated[str, typer.Argument(metavar="TYPE", help="The record type.")] = "A",
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
    asked = known.parse_name(name)
    kind_of_query = read_type(qtype)
    instant = known.parse_instant(at)
    with out.progress("reading orders") as advance:
        loaded = app.load_orders(settings, advance)
    with out.progress("building the place tables (once per edition)") as advance:
        places = app.open_places(settings, advance, former=True)
    accepted = app.accept_orders(settings, loaded, places)
    in_force = app.compile_in_force(settings, accepted, places, instant)
    address = known.find_client(places, from_)
    located = known.locate_client(in_force, address)
    ask = asking(settings, kind_of_query) if resolve else None
    ruling, grounds, response = rule(in_force, asked, located, ask)
    shown = type_name(kind_of_query)
    facts = known.ruling_facts(in_force, located, address, ruling, grounds, asked, shown, instant)
    facts["answer"] = None if response is None else known.answer_facts(response)
    facts["not_in_force"] = known.not_in_force(in_force, loaded, accepted, asked, instant)
    facts["held"] = known.held_back(in_force, loaded, asked)
    facts["faults"] = [fault.as_json() for fault in accepted.faults]
    if json:
        out.document(facts)
        return
    for fault in accepted.faults:
        out.line(f"warning: {fault}", style="yellow")
    _show(facts, from_)


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
    for key, what in (("registered", "registered in"), ("represented", "represents")):
        if location[f"{key}_country"]:
            shown = location[f"{key}_country"]
            out.line(f"            {what} {shown} (only shown, not judged by)")
    out.line(f"3 question  {readable(facts['name'])} {facts['type']} at {facts['at']}")
    if facts["answer"] is not None:
        answer = facts["answer"]
        aliases = [readable(alias) for alias in answer["aliases"]]
        found = ", ".join([*aliases, *answer["addresses"]]) or "no alias or address"
        out.line(f"  answer    {answer['rcode']}: {found}")
    if not facts["grounds"]:
        out.line("4 grounds   none: no order in force names it")
    else:
        out.line(f"4 grounds   {len(facts['grounds'])}")
    for ground in facts["grounds"]:
        out.line(
            f"  {ground['effect']:<9} {ground['order']}: {ground['kind']}"
            f" {readable(ground['target'])}{_via(ground)}",
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
        out.line(f"  no force  {order['order']} names it, but is not in force: {order['reason']}")
    for held in facts["held"]:
        out.line(
            f"  held      {held['order']} would block {readable(held['target'])}, which"
            f" {held['reason']}",
            style="yellow",
        )
        out.line(f"            until its file acknowledges the finding {held['finding']}")
    if facts["ruling"] == "block":
        reply = facts["reply"]
        through = f", through the alias {readable(facts['alias'])}" if facts["alias"] else ""
        out.line(f"5 ruling    block by {facts['order']}{through}", style="bold red")
        out.line(f"            reply {reply['action']}, TTL {reply['ttl']} s")
        out.line(f"            EDE {reply['ede']}: {reply['text']}")
    else:
        unseen = " (question only: aliases and addresses were not looked at; --resolve does)"
        told = "" if facts["answer"] is not None else unseen
        out.line(f"5 ruling    allow{told}", style="bold green")
    out.line(f"snapshot    {facts['digest']}")


def _via(ground: dict[str, Any]) -> str:
    """How a ground reaches the question, where the target alone does not say it."""
    if ground["via"] is None:
        return ""
    return ", an alias" if ground["via"] == ground["target"] else f" through {ground['via']}"
