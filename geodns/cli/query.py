"""``geodns query``: ask a running server as a client in a place."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from geodns.cli.options import Config, Json
from geodns.errors import Fault, GeodnsError, InputFaults

if TYPE_CHECKING:
    from geodns.cli.ask import Reply
    from geodns.cli.origin import Address
    from geodns.settings import Settings


BLOCKS = (15, 16, 17)
"""EDE codes of blocks: Blocked, Censored and Filtered (RFC 8914)."""


class NotBelievedError(GeodnsError):
    """The server answered, but not as to a client in the place that was claimed."""


class NoAnswerError(GeodnsError):
    """The server replied with a failure, which says nothing about the place."""

    exit_code = 1


def query(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The domain name to ask for.")],
    qtype: Annotated[str, typer.Argument(metavar="TYPE", help="The record type.")] = "A",
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="IT|IP",
            help="The country or address to ask from. Without it: as ourselves.",
            show_default=False,
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The server to ask. Without it: the first of [server].listen in the settings.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=60, help="How long to wait.")
    ] = 3.0,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Ask a running server as a client in a place, and show its reply.

    The place is claimed by EDNS Client Subnet (RFC 7871), which the server must trust us
    with; on loopback the query leaves from 127.0.0.9, so that operators can trust exactly
    that address. A server that did not believe it is said so, with exit code 2; one that
    failed or refused (and did not block) gives exit code 1.

    Example: geodns query kickasstorrents.to --from IT
    """
    from geodns.cli.ask import ask, read_type, type_name
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.model.endpoint import join_endpoint

    settings = load_settings(config)
    wire, asked_type = _name(name), read_type(qtype)
    host, port = read_server(server, settings.server.listen)
    client = None if origin is None else _client(origin, settings)
    reply = ask((host, port), wire, asked_type, client=client, timeout=timeout)
    broken = failed(reply)
    # A failure has no ECS option in any case, so that nothing can be told from it.
    believed = client is None or reply.ecs_scope is not None or (None if broken else False)
    if as_json:
        document = {
            "name": name,
            "type": type_name(asked_type),
            "from": origin,
            "client": client and str(client),
            "server": join_endpoint(host, port),
            "believed": believed,
            "order": reply.order,
            **asdict(reply),
        }
        out.document(document)
    else:
        _show(name, type_name(asked_type), origin, client, join_endpoint(host, port), reply)
    if broken:
        raise NoAnswerError(failure(reply, join_endpoint(host, port)))
    if not believed:
        raise NotBelievedError(
            f"{join_endpoint(host, port)} did not take our word for where the client is (no"
            " ECS in its reply): this is what it tells us here; put our address into"
            " ecs = [...] of [trust] in its settings"
        )


def failed(reply: Reply) -> bool:
    """Whether the reply is neither an answer nor a block, which may be REFUSED as well."""
    if reply.rcode in ("NOERROR", "NXDOMAIN") or reply.order is not None:
        return False
    return not any(extended.code in BLOCKS for extended in reply.extended_errors)


def failure(reply: Reply, server: str) -> str:
    """A failure in words."""
    why = [extended.text or extended.name for extended in reply.extended_errors]
    because = f": {'; '.join(why)}" if why else ""
    if reply.rcode == "SERVFAIL":
        return f"{server} could not get an answer (SERVFAIL){because}"
    if reply.rcode == "REFUSED":
        return f"{server} does not serve us, or not such queries (REFUSED){because}"
    return f"{server} gave no answer ({reply.rcode}){because}"


def _show(
    name: str,
    qtype: str,
    origin: str | None,
    client: Address | None,
    server: str,
    reply: Reply,
) -> None:
    from geodns.console import out

    whom = "" if client is None else f" as {client}"
    if origin is not None and str(client) != origin:
        whom += f" in {origin.upper()}"
    out.line(f"asked {server} for {name} {qtype}{whom}")
    style = "bold green" if reply.rcode == "NOERROR" else "bold red"
    out.line(f"reply  {reply.rcode}", style=style)
    for answer in reply.answers:
        out.line(f"       {answer}")
    if reply.rcode == "NOERROR" and not reply.answers:
        out.line("       no records")
    for extended in reply.extended_errors:
        text = f": {extended.text}" if extended.text else ""
        out.line(f"EDE    {extended.code} ({extended.name}){text}")
    if reply.order is not None:
        out.line(f"order  {reply.order}", style="bold")
    if reply.ecs_scope is not None:
        out.line(f"scope  /{reply.ecs_scope}")
    out.line(f"via    {reply.transport}, {reply.seconds * 1000:.1f} ms")


def _name(text: str) -> bytes:
    from geodns.model.name import ROOT, NameFault, parse

    if text == ".":
        return ROOT
    try:
        return parse(text)
    except NameFault as fault:
        raise InputFaults([Fault(str(fault))]) from None


def read_server(text: str | None, listen: tuple[str, ...]) -> tuple[str, int]:
    """``--server`` as host and port, or the first of [server].listen. Raises InputFaults."""
    from geodns.model.endpoint import EndpointFault, parse_endpoint

    try:
        host, port = parse_endpoint(text or listen[0], 53)
    except EndpointFault as fault:
        raise InputFaults([Fault(f"--server: {fault}")]) from None
    if port == 0:
        raise InputFaults(
            [Fault(f"the settings listen on any free port ({listen[0]}); give --server")]
        )
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    return anywhere.get(host, host), port


def _client(origin: str, settings: Settings) -> Address:
    """The address that stands for ``--from``: itself, or one of that country."""
    from geodns.cli.origin import read_address, representative

    if (address := read_address(origin)) is not None:
        return address
    from geodns.app import open_places
    from geodns.console import out

    with out.progress("reading the databases") as progress:
        places = open_places(settings, progress)
    return representative(places, origin)
