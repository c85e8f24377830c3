"""``geodns matrix``: places by names, where is what blocked, and by which order."""

from __future__ import annotations

from typing import Annotated

import typer

from geodns import app
from geodns.cli import facts as known
from geodns.cli.ask import read_type
from geodns.cli.options import Config, Json
from geodns.cli.readable import readable
from geodns.cli.resolve import asking, rule
from geodns.config import load_settings
from geodns.console import out
from geodns.model import name as names
from geodns.model.response import Response
from geodns.model.ruling import Ground, Ruling
from geodns.serve.inforce import InForce


def matrix(
    name: Annotated[list[str], typer.Argument(metavar="NAME", help="Names to look at.")],
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
    resolve: Annotated[
        bool,
        typer.Option(
            "--resolve",
            help="Ask [upstream] for each name's records, once, and rule on aliases and"
            " addresses as the server does.",
        ),
    ] = False,
    qtype: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="The record type that --resolve asks for.")
    ] = "A",
    config: Config = None,
    json: Json = False,
) -> None:
    """Show where which names are blocked, and by which order.

    Without --resolve only the question is ruled on: aliases and addresses need the answer.

    Example: geodns matrix kickasstorrents.to nitroflare.com --from IT,FR,GB,SM
    """
    settings = load_settings(config)
    asked = [known.parse_name(text) for text in name]
    instant = known.parse_instant(at)
    kind_of_query = read_type(qtype)
    loaded = app.load_orders(settings)
    with out.progress("building the place tables (once per edition)") as advance:
        places = app.open_places(settings, advance, former=True)
    accepted = app.accept_orders(settings, loaded, places)
    in_force = app.compile_in_force(settings, accepted, places, instant)
    wanted = [part for text in from_ or [] for part in text.split(",") if part.strip()]
    ask = asking(settings, kind_of_query) if resolve else None
    rows = []
    for place in wanted or _places_of(in_force):
        address = known.find_client(places, place)
        located = known.locate_client(in_force, address)
        cells = []
        for one in asked:
            cells.append((one, *rule(in_force, one, located, ask)))
        rows.append((place, address, located, cells))
    if json:
        out.document(
            {
                "digest": in_force.snapshot.digest,
                "at": instant.isoformat(timespec="seconds"),
                "next_change": known.next_change(in_force),
                "faults": [fault.as_json() for fault in accepted.faults],
                "rows": [
                    {
                        "place": place,
                        "location": known.location_facts(in_force, located, address),
                        "name": names.to_text(one),
                        "ruling": "block" if ruling.block else "allow",
                        "order": known.order_id(in_force, ruling),
                        "alias": known.alias_of(ruling),
                        "grounds": [known.ground_facts(in_force, ground) for ground in grounds],
                        "answer": None if answer is None else known.answer_facts(answer),
                    }
                    for place, address, located, cells in rows
                    for one, ruling, grounds, answer in cells
                ],
            }
        )
        return
    for fault in accepted.faults:
        out.line(f"warning: {fault}", style="yellow")
    headings = [readable(names.to_text(one)) for one in asked]
    out.table(
        ["from", "located in", *headings],
        [
            [
                place,
                located.location.country or "unknown",
                *(_cell(in_force, ruling, grounds, answer) for _, ruling, grounds, answer in cells),
            ]
            for place, address, located, cells in rows
        ],
        styles=lambda cell: "red" if cell.startswith("blocked") else None,
        shrink=headings,
    )
    if not resolve:
        out.line()
        out.line("not blocked (question only): --resolve looks at aliases and addresses too")


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


def _name(alias: bytes) -> str:
    return readable(names.to_text(alias))


def _cell(in_force: InForce, ruling: Ruling, grounds: list[Ground], answer: Response | None) -> str:
    if ruling.block:
        others = sum(1 for ground in grounds if ground.effect == "also")
        more = f" (+{others})" if others else ""
        how = ""
        if answer is not None:
            how = ", an address" if ruling.alias is None else f", through {_name(ruling.alias)}"
        return f"blocked by {known.order_id(in_force, ruling)}{more}{how}"
    told = "not blocked"
    if answer is not None:
        rcode = known.answer_facts(answer)["rcode"]
        told = "resolves" if rcode == "NOERROR" else rcode
    spared = next((g for g in grounds if g.effect in ("shadow", "exempt", "never_block")), None)
    return f"{told} ({spared.effect}: {spared.order})" if spared else told
