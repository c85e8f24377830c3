"""``geodns prove``: where answers change, and that nothing else does."""

from __future__ import annotations

import json as documents
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geodns.cli.options import Config, Json
from geodns.errors import Fault, InputFaults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geodns.prove.wire import Heard


def prove(
    order: Annotated[
        list[str] | None,
        typer.Argument(metavar="ORDER", help="Orders to tell of (default: all in force)."),
    ] = None,
    prefixes: Annotated[
        bool, typer.Option("--prefixes", help="List every prefix where answers change.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the signed proof to a file."),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check the signature of a proof instead of making one."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="BASE64", help="With --check: the public key that must have signed."),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Ask a running server too, for a sample from every place."
        ),
    ] = None,
    from_: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="IP", help="With --server: ask from these addresses only."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Instant to prove at, ISO 8601 (default: now)."),
    ] = None,
    sample: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=1_000_000, help="Draws of the counter-check."),
    ] = 10_000,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="What is drawn; the proof tells it (default: the clock)."),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Prove where orders change answers, and that they change nothing else.

    Every network of the databases and geofeeds is walked through the server's own ruling code;
    names are checked, and a random sample is ruled on the long way. Exit code 1 if anything
    did not come out as it should, or if a checked signature does not hold.

    Example: geodns prove --server 127.0.0.1:5053 -o proof.json
    """
    import gc
    import time

    from geodns import app
    from geodns.cli import facts as known
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.ledger.seal import KEY, Seal
    from geodns.orders.force import as_of
    from geodns.prove.proof import prove as prove_it

    if check is not None:
        _check(check, key, json=json)
        return
    addresses = _addresses(from_, server)
    settings = load_settings(config)
    instant = known.parse_instant(at)
    seed = time.time_ns() if seed is None else seed
    with out.progress("building the place tables (once per edition)") as advance:
        places = app.open_places(settings, advance)
    accepted = app.accept_orders(settings, app.load_orders(settings), places)
    in_force = app.compile_in_force(settings, accepted, places, instant)
    orders = [as_of(loaded, instant) for loaded in accepted.orders]
    _known(order or [], {record.id for record in in_force.snapshot.in_force}, accepted.faults)
    # Millions of small objects are made, none of them in a cycle: the collector only costs time.
    gc.disable()
    with out.progress("walking every network") as advance:
        document = prove_it(
            in_force,
            orders,
            instant,
            version("geodns"),
            wanted=order or [],
            listed=prefixes,
            sample=sample,
            seed=seed,
            progress=advance,
        )
    if server is not None:
        from random import Random

        from geodns.cli.query import read_server
        from geodns.prove.wire import ask_all, questions

        asked = questions(in_force, orders, order or [], addresses, Random(seed))
        where = read_server(server, settings.server.listen)
        with out.progress(f"asking {server}") as advance:
            wire = ask_all(asked, lambda name, client: _ask(where, name, client), advance)
        document["wire"] = {"server": server, **wire}
        document["holds"] = document["holds"] and not wire["wrong"]
    document["faults"] = [fault.as_json() for fault in accepted.faults]
    state = settings.server.state
    state.mkdir(parents=True, exist_ok=True)
    signed = Seal.of(state / KEY).document("proof", document)
    if output is not None:
        output.write_text(documents.dumps(signed, indent=2, ensure_ascii=False) + "\n")
    if json:
        out.document(signed)
    else:
        _show(signed, output)
    if not document["holds"]:
        raise typer.Exit(1)


def _known(wanted: list[str], here: set[str], faults: Sequence[Fault]) -> None:
    """Raise InputFaults for ids of no order in force, with what is wrong with their files."""
    lost = [ident for ident in wanted if ident not in here]
    if lost:
        of = [fault for fault in faults if fault.file and Path(fault.file).stem in lost]
        raise InputFaults([*(Fault(f"{ident!r} is no order in force") for ident in lost), *of])


def _addresses(given: list[str] | None, server: str | None) -> list[Any]:
    from geodns.cli.origin import read_address

    if given and server is None:
        raise InputFaults([Fault("--from is for --server, and no server is given")])
    found = []
    for text in [part for each in given or [] for part in each.split(",")]:
        if (address := read_address(text.strip())) is None:
            raise InputFaults([Fault(f"--from: {text!r} is no address")])
        found.append(address)
    return found


def _ask(where: tuple[str, int], name: bytes, client: Any) -> Heard:
    from geodns.cli.ask import ask
    from geodns.cli.query import NoAnswerError, NotBelievedError, failed, failure
    from geodns.model.endpoint import join_endpoint
    from geodns.prove.wire import Heard

    reply = ask(where, name, 1, client=client)
    if reply.rcode != "SERVFAIL" and failed(reply):
        raise NoAnswerError(failure(reply, join_endpoint(*where)))
    if reply.ecs_scope is None and reply.rcode in ("NOERROR", "NXDOMAIN"):
        raise NotBelievedError(
            f"{join_endpoint(*where)} did not take our word for where the client is (no ECS in"
            " its reply), so nothing can be proved over the wire; put our address into"
            " ecs = [...] of [trust] in its settings"
        )
    return Heard(reply.rcode, reply.order)


def _show(document: dict[str, Any], output: Path | None) -> None:
    from geodns.console import out

    for fault in document["faults"]:
        out.line(f"warning: {Fault(**fault)}", style="yellow")
    for family, walked in document["walked"].items():
        quiet = walked["no_order"]
        out.line(
            f"walked   {family.replace('ipv', 'IPv')}: {walked['networks']:,} networks,"
            f" {quiet['networks']:,} of them without any order"
        )
    rows = []
    for told in document["orders"]:
        for group in told["groups"]:
            rows.append(
                [
                    told["order"] + (" (shadow)" if told["shadow"] else ""),
                    group["place"] + ("" if group["basis"] == "place" else f" ({group['basis']})"),
                    group["source"],
                    *(
                        f"{group[family][what]:,}" if family in group else "0"
                        for family, what in (
                            ("ipv4", "prefixes"),
                            ("ipv4", "addresses"),
                            ("ipv6", "prefixes"),
                        )
                    ),
                ]
            )
        if not told["groups"]:
            rows.append([told["order"], "nowhere", "-", "0", "0", "0"])
    out.table(["order", "in force in", "source", "IPv4", "addresses", "IPv6"], rows)
    for told in document["orders"]:
        for group in told["groups"]:
            for family in ("ipv4", "ipv6"):
                for prefix in group.get(family, {}).get("list", ()):
                    out.line(f"{told['order']}  {group['place']}  {prefix}")
    names, drawn = document["checked"]["names"], document["checked"]["sample"]
    out.line(
        f"names    {names['names']:,} looked up ({names['near']:,} beside the targets,"
        f" {names['popular']:,} popular), {names['rulings']:,} rulings"
    )
    out.line(f"sample   {drawn['made']:,} clients and names, the long way")
    if wire := document.get("wire"):
        out.line(
            f"wire     {wire['asked']:,} questions from {wire['places']:,} places:"
            f" {wire['blocked']:,} blocked, {wire['not_blocked']:,} not"
        )
    wrong = [*document["mismatches"], *document.get("wire", {}).get("mismatches", ())]
    for text in wrong:
        out.line(f"wrong    {text}", style="red")
    out.line(f"digest   {document['digest']}")
    out.line(f"signed   {document['signed']['key']}" + (f", {output}" if output else ""))
    if document["holds"]:
        out.line("holds    answers change there, for those names, and nowhere else", style="green")
    else:
        out.line("does not hold", style="bold red")


def _check(path: Path, key: str | None, *, json: bool) -> None:
    from geodns.console import out
    from geodns.ledger.seal import document_message
    from geodns.model.signature import holds

    try:
        document = documents.loads(path.read_bytes())
        signed = document["signed"]
        given = signed["key"], signed["signature"]
    except (ValueError, KeyError, TypeError):
        raise InputFaults([Fault("this is no signed proof", file=str(path))]) from None
    good = holds(*given, document_message("proof", document))
    mine = key is None or given[0] == key
    if json:
        out.document(
            {
                "signature": good,
                "key": given[0],
                "expected_key": mine,
                "holds": document.get("holds"),
            }
        )
    else:
        out.line(f"signature  {'good' if good else 'BAD: the document was changed'}")
        out.line(f"key        {given[0]}" + ("" if mine else ", which is not the one expected"))
        out.line(f"made       {document.get('at')}, digest {document.get('digest')}")
        out.line(f"says       {'holds' if document.get('holds') else 'does not hold'}")
    if not good or not mine or not document.get("holds"):
        raise typer.Exit(1)
